"""Times OpenMined's private set intersection. Runs in the Python interpreter of another environment, which has ``openmined-psi``.

``PYTHON _openmined_psi.py SIZE COMMON`` intersects two lists of SIZE ids exactly (with the ``RAW`` structure). COMMON ids are in
both lists, and the client learns which. All phases of both sides run in this process, one after the other. The output is one line
of JSON.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Intersect the two lists and print the cost."""
    import private_set_intersection.python as psi

    size, common = int(sys.argv[1]), int(sys.argv[2])
    server_ids = [f"customer-{number:09d}" for number in range(size)]
    client_ids = [f"customer-{number:09d}" for number in range(size - common, 2 * size - common)]
    began = time.process_time()
    client, server = psi.client.CreateWithNewKey(True), psi.server.CreateWithNewKey(True)
    setup = server.CreateSetupMessage(1e-9, size, server_ids, psi.DataStructure.RAW).SerializeToString()
    request = client.CreateRequest(client_ids).SerializeToString()
    response = server.ProcessRequest(_read(psi.Request(), request)).SerializeToString()
    common_ids = client.GetIntersection(_read(psi.ServerSetup(), setup), _read(psi.Response(), response))
    cpu = time.process_time() - began
    if len(common_ids) != common:
        raise SystemExit(f"found {len(common_ids)} instead of {common}")
    print(json.dumps({"cpu": cpu, "bytes": len(setup) + len(request) + len(response)}))


def _read(message: object, data: bytes) -> object:
    message.ParseFromString(data)  # type: ignore[attr-defined]
    return message


if __name__ == "__main__":
    main()
