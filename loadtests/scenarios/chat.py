"""Short questions, whole answers."""

from locust import between, task

from loadtests.scenarios.caller import Caller


class ChatUser(Caller):
    wait_time = between(0.1, 0.5)

    @task
    def chat(self) -> None:
        self.ask()
