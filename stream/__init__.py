"""The streaming core: frames, queues, threads. Import the submodules; this package re-exports nothing so that
``stream.frame`` stays importable without torch, av or zmq."""
