//! The supervisor on real daemons: health checks, restart policies, and that it may be killed at
//! any moment. Runs where `COMPOSE_TEST_CONTAINERD1` or `COMPOSE_TEST_CONTAINERD2` name sockets.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // Test helpers: a panic is a failed test.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use compose_model::units::Duration as Length;
use compose_planner::labels;
use compose_planner::observed::{Health, State};
use compose_planner::spec::{
    ContainerSpec, EndpointSpec, HealthcheckSpec, NetworkMode, NetworkSpec, PortSpec, RestartPolicy,
};
use compose_runtime::Runtime;
use compose_runtime::port::{Inspection, ObserveQuery};
use support::{Place, daemons};

/// Longest wait for something to happen.
const LIMIT: Duration = Duration::from_secs(60);

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn spec(name: &str, command: &[&str]) -> ContainerSpec {
    let labels = [(labels::PROJECT, "shop"), (labels::SERVICE, "web"), (labels::ONEOFF, "False")];
    ContainerSpec {
        name: name.into(),
        service: "web".into(),
        image: "shop/web:1".into(),
        command: Some(words(command)),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        network_mode: NetworkMode::None,
        ..ContainerSpec::default()
    }
}

/// Looks at a container until it is as wanted.
async fn until(place: &Place, name: &str, what: &str, wanted: impl Fn(&Inspection) -> bool) -> Inspection {
    let end = Instant::now() + LIMIT;
    loop {
        let seen = place.runtime.containers().inspect(name).await.unwrap();
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "{name} is not {what}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kill(pid: &str) {
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success(), "kill {pid}");
    // Gone, or a zombie: of this process, or of a shim that is about to notice.
    let gone = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    while !gone() {
        std::thread::yield_now();
    }
}

/// Kills a container's process behind everybody's back.
fn crash(place: &Place, id: &str) {
    kill(
        place
            .ctr(&["tasks", "ls"])
            .lines()
            .find(|line| line.starts_with(id))
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap(),
    );
}

async fn supervisor_pid(place: &Place) -> String {
    let status = place.runtime.supervisor_status().await.unwrap().expect("a supervisor");
    status.split_whitespace().nth(1).unwrap().to_owned()
}

macro_rules! on_daemons {
    ($($name:ident: $body:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            for (which, address) in daemons(stringify!($name)) {
                println!("{} on {which}", stringify!($name));
                let place = Place::new(&address, &stringify!($name)[..6].replace('_', "")).await;
                let body: fn(&Place) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> = $body;
                body(&place).await;
                place.finish().await;
            }
        }
    )*};
}

on_daemons! {
    health_follows_the_probes_and_their_last_result_is_kept: |place| Box::pin(async move {
        let containers = place.runtime.containers();
        let mut wanted = spec("shop-web-1", &["sh", "-c", "sleep 1000"]);
        wanted.healthcheck = Some(HealthcheckSpec {
            test: words(&["CMD-SHELL", "echo looked; test -e /ready"]),
            interval: Some(Length(100_000_000)),
            retries: Some(3),
            ..HealthcheckSpec::default()
        });
        let id = containers.create(&wanted).await.unwrap().id;
        containers.start(id.as_str()).await.unwrap();
        let seen = containers.inspect("shop-web-1").await.unwrap();
        assert!(seen.has_healthcheck && matches!(seen.health, Health::Starting | Health::Unhealthy), "{seen:?}");
        let seen = until(place, "shop-web-1", "unhealthy", |seen| seen.health == Health::Unhealthy).await;
        assert_eq!(seen.last_probe, Some((1, "looked\n".to_owned())));
        let options = compose_runtime::port::ExecOptions {
            command: words(&["sh", "-c", "echo > /ready"]),
            ..Default::default()
        };
        place.runtime.streams().exec("shop-web-1", &options).await.unwrap();
        until(place, "shop-web-1", "healthy", |seen| seen.health == Health::Healthy).await;
        // Another supervisor goes on where this one was killed.
        kill(&supervisor_pid(place).await);
        let query = ObserveQuery { project: "shop".into(), ..ObserveQuery::default() };
        assert_eq!(place.runtime.observe(&query).await.unwrap().containers[0].health, Health::Healthy);
        let options = compose_runtime::port::ExecOptions {
            command: words(&["sh", "-c", "/bin/busybox rm /ready"]),
            ..Default::default()
        };
        place.runtime.streams().exec("shop-web-1", &options).await.unwrap();
        until(place, "shop-web-1", "unhealthy again", |seen| seen.health == Health::Unhealthy).await;
        containers.remove("shop-web-1", true, true).await.unwrap();
    });

    what_another_tool_removes_while_no_supervisor_runs_is_given_back_by_the_next_command: |place| Box::pin(async move {
        let (networks, containers) = (place.runtime.networks(), place.runtime.containers());
        networks.create(&NetworkSpec { name: "shop_default".into(), ..NetworkSpec::default() }).await.unwrap();
        let mut wanted = spec("shop-web-1", &["sleep", "1000"]);
        wanted.network_mode = NetworkMode::Networks;
        wanted.networks = vec![EndpointSpec { network: "shop_default".into(), ..EndpointSpec::default() }];
        wanted.ports = vec![PortSpec { target: 80, protocol: "tcp".to_owned(), ..PortSpec::default() }];
        let id = containers.create(&wanted).await.unwrap().id;
        containers.start(id.as_str()).await.unwrap();
        let address = containers.inspect(id.as_str()).await.unwrap().addresses["shop_default"].clone();
        place.stop_supervisor().await;
        place.ctr(&["tasks", "rm", "--force", id.as_str()]);
        place.ctr(&["containers", "rm", id.as_str()]);
        let left = || place.left().iter().filter(|one| one.contains(id.as_str()) || one.ends_with(&address)).count();
        assert!(left() > 3, "namespace, address, lock and directories are left: {:?}", place.left());
        let query = ObserveQuery { project: "shop".into(), ..ObserveQuery::default() };
        assert!(place.runtime.observe(&query).await.unwrap().containers.is_empty());
        let end = Instant::now() + LIMIT;
        while left() > 0 {
            assert!(Instant::now() < end, "still there: {:?}", place.left());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        networks.remove("shop_default").await.unwrap();
    });

    restart_policies_survive_the_supervisor_and_end_with_a_stop: |place| Box::pin(async move {
        let containers = place.runtime.containers();
        let mut always = spec("shop-web-1", &["sleep", "1000"]);
        always.restart = RestartPolicy::Always;
        always.stop_signal = "SIGKILL".to_owned();
        let id = containers.create(&always).await.unwrap().id;
        containers.start(id.as_str()).await.unwrap();
        crash(place, id.as_str());
        let up = |count: i64| move |seen: &Inspection| seen.state == State::Running && seen.restart_count == count;
        until(place, "shop-web-1", "up again", up(1)).await;
        // A crash that no supervisor sees is made good by the next one.
        kill(&supervisor_pid(place).await);
        crash(place, id.as_str());
        let query = ObserveQuery { project: "shop".into(), ..ObserveQuery::default() };
        place.runtime.observe(&query).await.unwrap();
        until(place, "shop-web-1", "up a second time", up(2)).await;
        containers.stop("shop-web-1", None).await.unwrap();
        containers.remove("shop-web-1", true, false).await.unwrap();

        let mut twice = spec("shop-web-2", &["false"]);
        twice.restart = RestartPolicy::OnFailure(2);
        let id = containers.create(&twice).await.unwrap().id;
        containers.start(id.as_str()).await.unwrap();
        let seen = until(place, "shop-web-2", "given up", |seen| seen.state == State::Exited && seen.restart_count == 2).await;
        assert_eq!(seen.exit_code, 1);
        // By hand it begins anew.
        containers.start(id.as_str()).await.unwrap();
        until(place, "shop-web-2", "given up again", |seen| seen.state == State::Exited && seen.restart_count == 2).await;
        containers.remove("shop-web-2", true, true).await.unwrap();
    });
}
