"""The parts of the docker runtime: connection, images, groups' networks, containers, executed commands, the guard."""
