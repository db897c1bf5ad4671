"""The steps of the vertical demos: all parties train, and predict for new users."""

from __future__ import annotations

from typing import Any

from tombolo.cli.demo.runs import Up, bytes_sent


def train_and_predict(up: Up) -> dict[str, Any]:
    """Run both DAGs. Returns the content of the report."""
    training = up.run("train")
    prediction = up.run("predict")
    up.all_well()
    guest = up.federation.initiator
    predicted = up.airflows[guest].xcom(prediction.dag, prediction.runs[guest], "predict")
    up.show.say("training the pooled model and a model of the guest alone, for comparison")
    return {
        **up.came_of(training),
        "seconds": {**training.seconds(guest), "prediction": prediction.seconds(guest)["total"]},
        "bytes_sent": bytes_sent(up.federation, training.runs, prediction.runs),
        "predicted_rows": predicted["rows"],
    }
