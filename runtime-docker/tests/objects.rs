//! Containers, networks, volumes and images on real engines.
//!
//! Run with `COMPOSE_TEST_DOCKER20` and `COMPOSE_TEST_DOCKER28` set to `unix://` addresses.

mod support;

use std::sync::Arc;

use compose_model::project::{IpamPool, Logging, Ulimit};
use compose_model::units::{ByteSize, Duration};
use compose_planner::observed::{Health, State};
use compose_planner::op::Target;
use compose_planner::spec::{
    ContainerSpec, EndpointSpec, HealthcheckSpec, MountSource, MountSpec, Namespace, NetworkMode, NetworkSpec,
    PortSpec, ResourceSpec, RestartPolicy, VolumeSpec, VolumesFrom,
};
use compose_runtime::Runtime;
use compose_runtime::port::{CommitOptions, LogOptions, Naming, ObserveQuery, Outcome};
use support::{Bench, collect};

on_both_engines! {
    a_container_lives_and_everything_may_be_said_twice
    a_container_gets_what_its_specification_says
    networks_are_taken_connected_and_kept_while_in_use
    volumes_keep_their_data_and_mounts_reach_the_process
    a_port_that_is_taken_is_told_in_the_engines_words
    images_are_found_however_they_are_written
    a_look_at_a_project_tells_state_health_and_detail
    fifty_containers_run_and_go
    a_name_is_known_to_be_reserved_before_its_container_can_be_seen
}

fn endpoint(network: &str) -> EndpointSpec {
    EndpointSpec { network: network.into(), ..EndpointSpec::default() }
}

async fn output(bench: &Bench, id: &str) -> String {
    bench.runtime.containers().wait(id).await.expect("ended");
    let logs = bench.runtime.streams().logs(id, &LogOptions::default()).await.expect("logs");
    let (out, err) = collect(logs).await;
    String::from_utf8_lossy(&[out, err].concat()).into_owned()
}

async fn a_container_lives_and_everything_may_be_said_twice(bench: Arc<Bench>) {
    let containers = bench.runtime.containers();
    let mut spec = bench.spec("life", "trap 'exit 4' TERM; while :; do sleep 0.1; done");
    spec.stop_grace_period = Some(Duration::from_seconds(60));
    let id = containers.create(&spec).await.expect("created").id;
    let id = id.as_str();
    let again = containers.create(&spec).await.expect_err("the name is taken");
    assert!(again.is_conflict(), "{again}");
    assert!(again.to_string().starts_with("Error response from daemon: Conflict. The container name"), "{again}");
    assert_eq!(containers.start(id).await.expect("started"), Outcome::Done);
    assert_eq!(containers.start(id).await.expect("started"), Outcome::AlreadySo);
    containers.pause(id).await.expect("paused");
    assert_eq!(containers.inspect(id).await.expect("there").state, State::Paused);
    assert!(containers.pause(id).await.expect_err("already").is_conflict());
    containers.unpause(id).await.expect("thawed");
    let new = bench.name("renamed").into();
    assert_eq!(containers.rename(id, &new).await.expect("renamed"), Outcome::Done);
    assert_eq!(containers.rename(id, &new).await.expect("renamed"), Outcome::AlreadySo);
    assert_eq!(containers.stop(id, None).await.expect("stopped"), Outcome::Done);
    assert_eq!(containers.stop(id, None).await.expect("stopped"), Outcome::AlreadySo);
    let seen = containers.inspect(id).await.expect("there");
    assert_eq!((seen.state, seen.exit_code, seen.name), (State::Exited, 4, new));
    assert_eq!(containers.kill(id, "KILL").await.expect("nobody to signal"), Outcome::AlreadySo);
    containers.restart(id, Some(5)).await.expect("restarted");
    assert!(containers.remove(id, true, false).await.expect_err("it runs").is_conflict());
    assert_eq!(containers.kill(id, "KILL").await.expect("killed"), Outcome::Done);
    assert_eq!(containers.wait(id).await.expect("a code above 0 is no error"), 137);
    assert_eq!(containers.remove(id, true, false).await.expect("removed"), Outcome::Done);
    assert_eq!(containers.remove(id, true, false).await.expect("removed"), Outcome::AlreadySo);
    assert!(containers.start(id).await.expect_err("gone").is_not_found());

    let mut missing = bench.spec("missing", "true");
    missing.image = "no-such-image".into();
    let error = containers.create(&missing).await.expect_err("no image");
    assert!(error.is_not_found());
    assert!(error.to_string().contains("No such image: no-such-image:latest"), "{error}");
}

async fn a_container_gets_what_its_specification_says(bench: Arc<Bench>) {
    let text = "id -u; pwd; hostname; echo $A; ulimit -n; cat /proc/sys/net/core/somaxconn; grep -c /scratch /proc/mounts; \
                grep far /etc/hosts | cut -f1; grep nameserver /etc/resolv.conf; id -G; tty; df /dev/shm | tail -1 | awk '{print $2}'";
    let spec = ContainerSpec {
        user: "7".into(),
        working_dir: "/tmp".into(),
        hostname: "named".into(),
        environment: [("A".to_owned(), Some("x = y".to_owned())), ("PATH".to_owned(), Some("/bin".into()))].into(),
        ulimits: [("nofile".to_owned(), Ulimit::Pair { soft: 100, hard: 200 })].into(),
        sysctls: [("net.core.somaxconn".to_owned(), "99".to_owned())].into(),
        tmpfs: vec!["/scratch:size=1m".into()],
        extra_hosts: vec!["far=192.0.2.1".into()],
        dns: vec!["192.0.2.53".into()],
        group_add: vec!["55".into()],
        shm_size: ByteSize(1 << 20),
        cap_drop: vec!["ALL".into()],
        security_opt: vec!["no-new-privileges".into()],
        init: Some(true),
        restart: RestartPolicy::OnFailure(2),
        logging: Some(Logging {
            driver: "json-file".into(),
            options: [("max-size".into(), "1m".into())].into(),
            ..Logging::default()
        }),
        resources: ResourceSpec {
            mem_limit: ByteSize(64 << 20),
            nano_cpus: 500_000_000,
            pids_limit: 50,
            ..ResourceSpec::default()
        },
        healthcheck: Some(HealthcheckSpec { test: vec!["NONE".into()], ..HealthcheckSpec::default() }),
        network_mode: NetworkMode::Engine("bridge".into()),
        ..bench.spec("full", text)
    };
    let id = bench.started(&spec).await;
    let out = output(&bench, &id).await;
    for line in
        ["7", "/tmp", "100", "1", "named", "x = y", "192.0.2.1", "nameserver 192.0.2.53", "not a tty", "1024", "99"]
    {
        assert!(out.lines().any(|one| one == line), "{line} is missing in {out}");
    }
    let seen = bench.runtime.containers().inspect(&id).await.expect("there");
    assert_eq!(
        (seen.detail.user.as_str(), seen.detail.restart.as_str(), seen.has_healthcheck),
        ("7", "on-failure:2", false)
    );

    // An entrypoint that is cleared and a command of its own; a variable of the image removed.
    let spec = ContainerSpec {
        entrypoint: Some(vec!["/bin/busybox".into()]),
        command: Some(vec!["env".into()]),
        environment: [("PATH".to_owned(), None)].into(),
        ..bench.spec("cleared", "")
    };
    let id = bench.started(&spec).await;
    assert!(!output(&bench, &id).await.contains("PATH="));

    // Namespaces and volumes of another container.
    let mut base = bench.spec("base", "mkdir -p /v; echo shared > /v/f; hostname; sleep 100");
    base.mounts = vec![anonymous("/v")];
    base.ipc = Namespace::Engine("shareable".into());
    let base = bench.started(&base).await;
    let other = Target::Existing { id: base.as_str().into(), name: bench.name("base").into() };
    let spec = ContainerSpec {
        network_mode: NetworkMode::Container(other.clone()),
        pid: Namespace::Container(other.clone()),
        ipc: Namespace::Container(other.clone()),
        volumes_from: vec![VolumesFrom { container: other, read_only: true }],
        ..bench.spec("joined", "cat /v/f; ps | grep -c 'sleep 10[0]'; echo no > /v/f")
    };
    let id = bench.started(&spec).await;
    let out = output(&bench, &id).await;
    assert!(out.starts_with("shared\n1\n") && out.contains("Read-only file system"), "{out}");

    let mut wrong = bench.spec("wrong", "true");
    wrong.security_opt = vec!["seccomp=/no/such/profile.json".into()];
    let error = bench.runtime.containers().create(&wrong).await.expect_err("no profile").to_string();
    assert!(error.contains("opening seccomp profile (/no/such/profile.json) failed"), "{error}");
    let profile = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(profile.path(), r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).expect("written");
    wrong.security_opt = vec![format!("seccomp={}", profile.path().display()), "systempaths=unconfined".into()];
    wrong.name = bench.name("profile").into();
    let id = bench.started(&wrong).await;
    assert_eq!(bench.runtime.containers().wait(&id).await.expect("ended"), 0);
    let options = CommitOptions {
        reference: format!("{}:x", bench.name("image")),
        changes: vec!["ENV NEW=1".into(), "CMD [\"env\"]".into()],
        ..CommitOptions::default()
    };
    let image = bench.runtime.containers().commit(&id, &options).await.expect("committed");
    let seen = bench.runtime.images().inspect(&options.reference).await.expect("looked").expect("there");
    assert_eq!(seen.id, image);
    assert!(seen.environment.contains(&"NEW=1".to_owned()));
    let reference = options.reference.as_str().into();
    assert!(bench.runtime.images().remove(&reference).await.expect("removed") == Outcome::Done);
    assert!(bench.runtime.images().remove(&reference).await.expect("removed") == Outcome::AlreadySo);
}

async fn networks_are_taken_connected_and_kept_while_in_use(bench: Arc<Bench>) {
    let networks = bench.runtime.networks();
    let pool = |subnet: &str| IpamPool { subnet: subnet.into(), ..IpamPool::default() };
    // Both engines may share one machine's routes.
    let base = if bench.runtime.capabilities().networks_at_create { "10.231" } else { "10.232" };
    let mut a = NetworkSpec { name: bench.name("a").into(), labels: bench.labels(), ..NetworkSpec::default() };
    a.ipam.config = vec![pool(&format!("{base}.7.0/24"))];
    let b = NetworkSpec { name: bench.name("b").into(), labels: bench.labels(), ..NetworkSpec::default() };
    let id = networks.create(&a).await.expect("created");
    assert_eq!(networks.create(&a).await.expect("taken"), id);
    networks.create(&b).await.expect("created");
    let foreign = NetworkSpec { labels: [("else".to_owned(), "1".to_owned())].into(), ..a.clone() };
    assert!(networks.create(&foreign).await.expect_err("other labels").is_conflict());

    let mut spec = bench.spec("one", "sleep 100");
    spec.network_mode = NetworkMode::Networks;
    let mac = "02:42:ac:11:65:43";
    spec.networks = vec![
        EndpointSpec {
            ipv4_address: format!("{base}.7.77"),
            aliases: vec!["fixed".into()],
            mac_address: mac.into(),
            ..endpoint(name_of(&a))
        },
        EndpointSpec { aliases: vec!["second".into()], ..endpoint(name_of(&b)) },
    ];
    let one = bench.started(&spec).await;
    if !bench.runtime.capabilities().networks_at_create {
        assert_eq!(networks.connect(&one, &spec.networks[1]).await.expect("connected"), Outcome::Done);
    }
    assert_eq!(networks.connect(&one, &spec.networks[1]).await.expect("connected"), Outcome::AlreadySo);
    let seen = bench.runtime.containers().inspect(&one).await.expect("there");
    assert_eq!(seen.addresses.len(), 2);
    assert_eq!(seen.addresses[&a.name], format!("{base}.7.77"));

    let mut other = bench.spec("two", &format!("ping -c1 -w5 fixed | head -1; arp -n {base}.7.77 | grep -io {mac}"));
    other.network_mode = NetworkMode::Networks;
    other.networks = vec![endpoint(name_of(&a))];
    let two = bench.started(&other).await;
    let out = output(&bench, &two).await;
    assert!(out.contains(&format!("PING fixed ({base}.7.77)")), "{out}");
    assert!(out.to_lowercase().contains(mac), "the MAC address was not taken: {out}");

    let error = networks.remove(name_of(&a)).await.expect_err("in use");
    assert!(error.is_conflict() && error.to_string().contains("has active endpoints"), "{error}");
    assert_eq!(networks.disconnect(&one, &b.name).await.expect("disconnected"), Outcome::Done);
    assert_eq!(networks.disconnect(&one, &b.name).await.expect("disconnected"), Outcome::AlreadySo);
    assert_eq!(networks.remove(name_of(&b)).await.expect("removed"), Outcome::Done);
    assert_eq!(networks.remove(name_of(&b)).await.expect("removed"), Outcome::AlreadySo);
}

fn name_of(spec: &NetworkSpec) -> &str {
    spec.name.as_str()
}

fn mount(target: &str, source: MountSource) -> MountSpec {
    MountSpec { target: target.into(), read_only: false, consistency: String::new(), source, place: None }
}

fn anonymous(target: &str) -> MountSpec {
    let source =
        MountSource::Anonymous { carried: None, nocopy: false, subpath: String::new(), labels: Default::default() };
    mount(target, source)
}

async fn volumes_keep_their_data_and_mounts_reach_the_process(bench: Arc<Bench>) {
    let volumes = bench.runtime.volumes();
    let spec = VolumeSpec { name: bench.name("data").into(), labels: bench.labels(), ..VolumeSpec::default() };
    volumes.create(&spec).await.expect("created");
    volumes.create(&spec).await.expect("taken");
    let directory = tempfile::tempdir().expect("a directory");
    let bind = |create: bool, of: &str| MountSource::Bind {
        path: directory.path().join(of).display().to_string(),
        create_host_path: create,
        propagation: "rprivate".into(),
        recursive: String::new(),
        selinux: String::new(),
    };
    let named = || MountSource::Volume {
        name: spec.name.clone(),
        nocopy: true,
        subpath: String::new(),
        labels: Default::default(),
        selinux: String::new(),
    };
    let mut write = bench.spec("write", "echo kept > /data/f; echo host > /made/f; touch /once/x; df /mem | tail -1 | awk '{print $2}'; echo no > /made/ro/f");
    write.mounts = vec![
        mount("/data", named()),
        mount("/made", bind(true, "new/dir")),
        anonymous("/once"),
        mount("/mem", MountSource::Tmpfs { size: ByteSize(2 << 20), mode: 0o700 }),
        MountSpec { read_only: true, ..mount("/made/ro", bind(true, "ro")) },
    ];
    let id = bench.started(&write).await;
    let out = output(&bench, &id).await;
    assert!(out.contains("2048") && out.contains("Read-only file system"), "{out}");
    assert_eq!(std::fs::read_to_string(directory.path().join("new/dir/f")).expect("written"), "host\n");
    let observed =
        bench.runtime.list_containers(&[(support::TEST_LABEL.into(), Some(bench.name.clone()))]).await.expect("listed");
    let carried =
        observed[0].mounts.iter().find(|mount| mount.target == "/once").and_then(|mount| mount.volume.clone());
    let mut read = bench.spec("read", "cat /data/f; ls /once");
    read.mounts = vec![
        mount("/data", named()),
        mount(
            "/once",
            MountSource::Anonymous { carried, nocopy: false, subpath: String::new(), labels: Default::default() },
        ),
    ];
    let id = bench.started(&read).await;
    assert_eq!(output(&bench, &id).await, "kept\nx\n");
    let error = volumes.remove(&spec.name).await.expect_err("in use");
    assert!(error.is_conflict(), "{error}");
    let listed = volumes.list(&[(support::TEST_LABEL.into(), Some(bench.name.clone()))]).await.expect("listed");
    assert_eq!(listed.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), [spec.name.as_str()]);
    let mut missing = bench.spec("missing", "true");
    missing.mounts = vec![mount("/x", bind(false, "not-there"))];
    let error = bench.runtime.containers().create(&missing).await.expect_err("no such path");
    assert!(error.to_string().contains("bind source path does not exist"), "{error}");
}

async fn a_port_that_is_taken_is_told_in_the_engines_words(bench: Arc<Bench>) {
    let port = PortSpec { target: 80, protocol: "tcp".into(), published: "28765".into(), ..PortSpec::default() };
    let mut spec = bench.spec("first", "sleep 100");
    spec.network_mode = NetworkMode::Engine("bridge".into());
    spec.ports = vec![port.clone()];
    let first = bench.started(&spec).await;
    let seen = bench.runtime.containers().inspect(&first).await.expect("there");
    assert!(seen.ports.iter().any(|port| (port.published, port.target) == (28765, 80)), "{:?}", seen.ports);
    spec.name = bench.name("second").into();
    let second = bench.runtime.containers().create(&spec).await.expect("created").id;
    let error = bench.runtime.containers().start(second.as_str()).await.expect_err("the port is taken").to_string();
    assert!(error.starts_with("Error response from daemon: "), "{error}");
    assert!(error.contains("28765") && error.contains("already allocated"), "{error}");
    spec.name = bench.name("range").into();
    spec.ports = vec![PortSpec { published: "28766-28770".into(), host_ip: "127.0.0.1".into(), ..port }];
    spec.expose = vec!["90-91".into()];
    let ranged = bench.started(&spec).await;
    let seen = bench.runtime.containers().inspect(&ranged).await.expect("there");
    assert!(seen.ports.iter().any(|port| (28766..=28770).contains(&port.published)), "{:?}", seen.ports);
    assert!(seen.ports.iter().any(|port| port.target == 91 && port.published == 0), "{:?}", seen.ports);
}

async fn images_are_found_however_they_are_written(bench: Arc<Bench>) {
    let images = bench.runtime.images();
    let id = images.inspect("busybox").await.expect("looked").expect("there").id;
    let query = ObserveQuery { project: "docker-none".into(), images: true, ..ObserveQuery::default() };
    let observed = bench.runtime.observe(&query).await.expect("observed");
    let hex = id.trim_start_matches("sha256:");
    for name in
        ["busybox", "busybox:latest", "docker.io/library/busybox:latest", "library/busybox", &id, hex, &hex[..12]]
    {
        assert_eq!(observed.images.get(name).map(|image| image.id.as_str()), Some(id.as_str()), "{name}");
        assert_eq!(
            images.inspect(name).await.expect("looked").map(|image| image.id).as_deref(),
            Some(id.as_str()),
            "{name}"
        );
    }
    assert_eq!(images.inspect("no/such:image").await.expect("looked"), None);
    let pull = images.pull(&"127.0.0.1:1/no/such".into(), "", &|_| {}).await.expect_err("no registry");
    assert!(pull.to_string().contains("127.0.0.1:1"), "{pull}");
}

async fn a_look_at_a_project_tells_state_health_and_detail(bench: Arc<Bench>) {
    let project = bench.name("project");
    let of_project = |mut spec: ContainerSpec, number: &str| {
        spec.labels.insert("com.docker.compose.project".into(), project.clone());
        spec.labels.insert("com.docker.compose.service".into(), "web".into());
        spec.labels.insert("com.docker.compose.container-number".into(), number.into());
        // Without it a container was not made by Compose, whatever else it carries.
        spec.labels.insert("com.docker.compose.config-hash".into(), "f00".into());
        spec
    };
    let mut healthy = of_project(bench.spec("1", "sleep 100"), "1");
    healthy.healthcheck = Some(HealthcheckSpec {
        test: vec!["CMD-SHELL".into(), "echo probed".into()],
        interval: Some(Duration(200_000_000)),
        timeout: Some(Duration::from_seconds(5)),
        retries: Some(3),
        ..HealthcheckSpec::default()
    });
    healthy.environment.insert("K".into(), Some("v".into()));
    let one = bench.started(&healthy).await;
    let two = bench.started(&of_project(bench.spec("2", "exit 9"), "2")).await;
    let foreign = bench.runtime.containers().create(&bench.spec("foreign", "true")).await.expect("created").id;
    bench.runtime.containers().wait(&two).await.expect("ended");
    let query = compose_runtime::port::EventQuery {
        since: "1".into(),
        labels: vec![(support::TEST_LABEL.into(), Some(bench.name.clone()))],
        ..Default::default()
    };
    let mut events = bench.runtime.streams().events(&query).await.expect("events");
    while let Some(event) = futures_util::StreamExt::next(&mut events).await {
        if event.expect("an event").action == "health_status: healthy" {
            break;
        }
    }
    let query = ObserveQuery {
        project: project.as_str().into(),
        container_names: vec![bench.name("1").into(), bench.name("foreign").into()],
        networks: true,
        volumes: true,
        images: true,
        detail: vec![one.as_str().into(), "gone".into()],
    };
    let observed = bench.runtime.observe(&query).await.expect("observed");
    let names: Vec<_> = observed.containers.iter().map(|container| container.name.as_str().to_owned()).collect();
    assert_eq!(names, [bench.name("1"), bench.name("2"), bench.name("foreign")]);
    let [first, second, third] = observed.containers.as_slice() else { panic!("three") };
    assert_eq!((first.state, first.health, first.number), (State::Running, Health::Healthy, Some(1)));
    assert_eq!((second.state, second.exit_code), (State::Exited, Some(9)));
    assert_eq!((&third.id, third.project.as_ref()), (&foreign, None));
    assert!(first.recorded_image.starts_with("sha256:") && first.recorded_image == first.image_id.as_str());
    assert!(first.detail.as_ref().expect("detail").environment.contains(&"K=v".to_owned()));
    assert!(second.detail.is_none());
    assert!(observed.networks.contains_key("bridge"));
    let seen = bench.runtime.containers().inspect(&one).await.expect("there");
    assert_eq!((seen.health, seen.has_healthcheck), (Health::Healthy, true));
    assert_eq!(seen.last_probe, Some((0, "probed\n".to_owned())));
}

async fn fifty_containers_run_and_go(bench: Arc<Bench>) {
    let proxy = support::Proxy::before(&bench.host);
    let runtime =
        runtime_docker::DockerRuntime::connect(&runtime_docker::Endpoint::at(&proxy.host)).await.expect("connected");
    let image = runtime.images().inspect("busybox").await.expect("looked").expect("there").id;
    proxy.counts.take_requests();
    let one = |number: usize| {
        let mut spec = bench.spec(&number.to_string(), "exec sleep 100");
        spec.image_id = Some(image.as_str().into());
        let runtime = &runtime;
        async move {
            let id = runtime.containers().create(&spec).await.expect("created").id;
            runtime.containers().start(id.as_str()).await.expect("started");
            id
        }
    };
    let ids = futures_util::future::join_all((0..50).map(one)).await;
    assert_eq!(proxy.counts.take_requests().len(), 100, "one request for each step");
    let remove = |id: compose_model::names::ContainerId| {
        let runtime = &runtime;
        async move { runtime.containers().remove(id.as_str(), true, true).await.expect("removed") }
    };
    futures_util::future::join_all(ids.into_iter().map(remove)).await;
    let most = proxy.counts.most.load(std::sync::atomic::Ordering::SeqCst);
    assert!(most <= 8, "{most} connections at once");
    let all = proxy.counts.connections.load(std::sync::atomic::Ordering::SeqCst);
    assert!(all <= 10, "{all} connections for 150 requests: they are not kept");
}

async fn a_name_is_known_to_be_reserved_before_its_container_can_be_seen(bench: Arc<Bench>) {
    let name: compose_model::names::ContainerName = bench.name("made-0").into();
    let naming = || bench.runtime.containers().naming(&name);
    assert_eq!(naming().await.expect("an answer"), Naming::Free);
    // Several at once, so that each takes the engine a while.
    let creations = (0..8).map(|number| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move {
            let spec = bench.spec(&format!("made-{number}"), "true");
            bench.runtime.containers().create(&spec).await.expect("created");
        })
    });
    let creations: Vec<_> = creations.collect();
    let mut course = vec![Naming::Free];
    while course.last() != Some(&Naming::Taken) {
        let now = naming().await.expect("an answer");
        if course.last() != Some(&now) {
            course.push(now);
        }
    }
    // A fast engine may be done between two looks; it never goes back.
    let whole = [Naming::Free, Naming::UnderWay, Naming::Taken];
    assert!(course == whole || course == [Naming::Free, Naming::Taken], "{course:?}");
    for creation in creations {
        creation.await.expect("ended");
    }
    let id = bench.runtime.containers().inspect(name.as_str()).await.expect("it can be seen").id;
    bench.runtime.containers().remove(id.as_str(), false, false).await.expect("removed");
    assert_eq!(naming().await.expect("an answer"), Naming::Free);
}
