"""Drives Compose with the programs of others that parse its output.

    drive.py CLIENT PROJECT

CLIENT is `testcontainers`, `standalone` (the same with the program that STANDALONE names instead of
`docker compose`) or `whales`; PROJECT is the folder of compose.yaml, whose name is the
project's. `docker` finds the program under test as its plugin. Ends with 0 and "ok" when every
answer was understood and right; else with a traceback.
"""

import os
import subprocess
import sys
import threading
from functools import cached_property
from pathlib import Path


def equal(found, wanted, what):
    assert found == wanted, f"{what}: {found!r} instead of {wanted!r}"


def testcontainers(folder: Path, program=()):
    from testcontainers.compose import DockerCompose as Plugin

    class DockerCompose(Plugin):
        @cached_property
        def compose_command_property(self):
            command = super().compose_command_property
            return [*program, *command[2:]] if program else command

    environment = folder / "colour.env"
    environment.write_text("COLOUR=green\n")
    with DockerCompose(folder, compose_file_name="compose.yaml", env_file=str(environment), wait=True) as compose:
        config = compose.get_config()
        equal(config["name"], folder.name, "name in config")
        equal(config["services"]["web"]["environment"], {"COLOUR": "green"}, "environment in config")
        raw = compose.get_config(path_resolution=False, normalize=False, interpolate=False)
        equal(raw["services"]["web"]["environment"], {"COLOUR": "${COLOUR:-blue}"}, "environment as written")

        running = {container.Service: container for container in compose.get_containers()}
        equal(sorted(running), ["db", "web"], "running services")
        equal(running["db"].Health, "healthy", "health of db")
        equal(running["web"].State, "running", "state of web")
        equal(running["web"].Project, folder.name, "project of web")
        equal(running["web"].ExitCode, 0, "exit code of web")
        equal(running["web"].Name, f"{folder.name}-web-1", "name of web")
        equal(running["web"].get_container_info().State.Status, "running", "web by its ID")

        host, port = compose.get_service_host_and_port("web", 80)
        assert host in ("0.0.0.0", "127.0.0.1"), host
        assert port > 0, port
        out, err = compose.get_logs()
        assert "web-is-up" in out and "db-is-up" in out and "to-stderr" in out, (out, err)
        out, _ = compose.get_logs("db")
        assert "db-is-up" in out and "web-is-up" not in out, out
        equal(compose.exec_in_container(["sh", "-c", "echo $COLOUR"], "web"), ("green\n", "", 0), "exec")
        try:
            compose.exec_in_container(["sh", "-c", "exit 7"], "web")
        except subprocess.CalledProcessError as error:
            equal(error.returncode, 7, "exit code of exec")
        else:
            raise AssertionError("exec hides the exit code")
    equal(compose.get_containers(include_all=True), [], "containers after the end")

    with DockerCompose(folder, profiles=["jobs"], services=["job"], wait=False, keep_volumes=True) as compose:
        subprocess.run([*compose.compose_command_property, "wait", "job"], cwd=folder, capture_output=True)
        job = compose.get_container("job", include_all=True)
        equal((job.State, job.ExitCode), ("exited", 3), "the job")
        equal(compose.get_containers(), [], "running containers")
    subprocess.run([*compose.compose_command_property, "down", "-v"], cwd=folder, check=True, capture_output=True)


def standalone(folder: Path):
    testcontainers(folder, [os.environ["STANDALONE"]])


def whales(folder: Path):
    from python_on_whales import DockerClient
    from python_on_whales.exceptions import DockerException, NoSuchContainer

    client = DockerClient(compose_files=[folder / "compose.yaml"], compose_profiles=["jobs"])
    compose = client.compose
    assert compose.is_installed()
    assert compose.version().startswith("Docker Compose version v"), compose.version()

    config = compose.config()
    equal(sorted(config.services), ["db", "job", "web"], "services of config")
    equal(config.services["web"].deploy.resources.limits.memory, 64 * 1024 * 1024, "memory limit")
    equal(config.services["web"].depends_on["db"].condition, "service_healthy", "condition")
    equal(config.services["web"].ports[0].target, 80, "port")
    equal(config.services["web"].volumes[0].source, "data", "volume")
    equal(config.networks["default"].name, f"{folder.name}_default", "network")

    compose.create(["db"])
    equal([one.state.status for one in compose.ps(all=True)], ["created"], "after create")
    compose.up(["web"], detach=True, wait=True, wait_timeout=60, scales={"web": 2}, quiet=True, color=False)
    names = sorted(container.name for container in compose.ps())
    equal(names, [f"{folder.name}-{name}" for name in ("db-1", "web-1", "web-2")], "after up")
    equal(len(compose.ps(["web"])), 2, "ps of a service")
    project = compose.ls(filters={"name": f"^{folder.name}$"})
    equal([(one.name, one.running, one.config_files) for one in project],
          [(folder.name, 3, [folder / "compose.yaml"])], "ls")

    host, port = compose.port("web", 80, index=2)
    assert host == "0.0.0.0" and port > 0, (host, port)
    equal(compose.execute("web", ["sh", "-c", "echo $COLOUR"], tty=False, envs={"COLOUR": "red"}), "red", "execute")
    equal(compose.execute("web", ["pwd"], tty=False, workdir="/tmp", user="0", index=2), "/tmp", "workdir")
    try:
        compose.execute("web", ["sh", "-c", "echo words >&2; exit 7"], tty=False)
    except DockerException as error:
        equal(error.return_code, 7, "exit code of execute")
        assert "words" in error.stderr, error.stderr
    else:
        raise AssertionError("execute hides the exit code")
    log = compose.logs(["web"], tail="10", no_log_prefix=True, timestamps=False)
    equal(log.count("web-is-up"), 2, "logs")
    streamed = {(origin, text.strip()) for origin, text in compose.logs(["db"], stream=True)}
    equal(streamed, {("stdout", b"db-1  | db-is-up")}, "streamed logs")

    compose.pause(["db"])
    equal(compose.ps(["db"])[0].state.paused, True, "paused")
    compose.unpause(["db"])
    compose.restart(["db"], timeout=0)
    compose.kill(["web"], signal="KILL")
    compose.stop(timeout=0)
    equal(compose.ps(), [], "after stop")
    compose.start(["db"])
    equal(len(compose.ps()), 1, "after start")
    equal(compose.ls(all=True, filters={"name": folder.name})[0].exited, 2, "ls of what has ended")
    # Events come from when the client listens on; so something happens until it has heard one.
    heard = threading.Event()

    def stir():
        while not heard.is_set():
            compose.restart(["web"], timeout=0)

    stirrer = threading.Thread(target=stir)
    stirrer.start()
    try:
        events = compose.events(["web"])
        event = next(events)
    finally:
        heard.set()
        stirrer.join()
    equal((event.service, event.type), ("web", "container"), "event")
    assert event.attributes["name"].startswith(folder.name) and event.time, event
    events.close()
    compose.rm(["web"], stop=True, volumes=True)

    out = compose.run("web", ["echo", "one-off"], remove=True, tty=False, dependencies=False, labels={"k": "v"})
    equal(out, "one-off", "run")
    try:
        compose.run("job", remove=True, tty=False)
    except DockerException as error:
        equal(error.return_code, 3, "exit code of run")
    else:
        raise AssertionError("run hides the exit code")
    kept = compose.run("db", ["sleep", "1000"], detach=True, tty=False, name=f"{folder.name}-kept")
    equal(kept.name, f"{folder.name}-kept", "run --detach")
    kept.kill()
    for origin, text in compose.up(["db"], detach=True, stream_logs=True):
        equal(origin, "stderr", f"stream of {text!r}")
    compose.pull(["job"], quiet=True, ignore_pull_failures=True)
    compose.build(quiet=True)
    compose.down(remove_orphans=True, volumes=True, timeout=0, quiet=True)
    equal(compose.ps(all=True), [], "after down")
    try:
        client.container.inspect(f"{folder.name}-kept")
    except NoSuchContainer:
        pass
    else:
        raise AssertionError("down leaves the one-off")


if __name__ == "__main__":
    {"testcontainers": testcontainers, "standalone": standalone, "whales": whales}[sys.argv[1]](Path(sys.argv[2]).resolve())
    print("ok")
