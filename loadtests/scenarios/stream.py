"""Short questions, streamed answers."""

from locust import between, task

from loadtests.scenarios.caller import Caller


class StreamUser(Caller):
    wait_time = between(0.1, 0.5)

    @task
    def stream(self) -> None:
        self.ask_streamed()
