"""What several protocols share: metrics, links, networks, trees, sums over clients, columns of several parties."""
