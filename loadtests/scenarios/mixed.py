"""An application as it is: two streams for every whole answer, and now and then a look at the models."""

from locust import between, task

from loadtests.scenarios.caller import Caller


class MixedUser(Caller):
    wait_time = between(0.1, 1.0)

    @task(3)
    def chat(self) -> None:
        self.ask()

    @task(6)
    def stream(self) -> None:
        self.ask_streamed()

    @task(1)
    def models(self) -> None:
        self.client.get("/models", headers=self.headers(), name="models")
