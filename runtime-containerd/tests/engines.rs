//! The port on real daemons. Runs where `COMPOSE_TEST_CONTAINERD1` or `COMPOSE_TEST_CONTAINERD2`
//! name sockets; root rights are needed.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // Test helpers: a panic is a failed test.

mod support;

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;

use compose_planner::labels;
use compose_planner::observed::State;
use compose_planner::spec::{ContainerSpec, EndpointSpec, MountSource, MountSpec, NetworkSpec, PortSpec, VolumeSpec};
use compose_runtime::Runtime;
use compose_runtime::port::{
    AttachOptions, EventQuery, ExecOptions, Items, LogChunk, LogOptions, ObserveQuery, Outcome,
};
use futures_util::StreamExt;
use support::{Place, daemons};
use tokio::io::AsyncWriteExt;

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

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn spec(name: &str, command: &[&str]) -> ContainerSpec {
    ContainerSpec {
        name: name.into(),
        service: "web".into(),
        image: "shop/web:1".into(),
        command: Some(words(command)),
        labels: [
            (labels::PROJECT, "shop"),
            (labels::SERVICE, "web"),
            (labels::CONTAINER_NUMBER, "1"),
            (labels::ONEOFF, "False"),
            (labels::CONFIG_HASH, "abc"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        network_mode: compose_planner::spec::NetworkMode::None,
        ..ContainerSpec::default()
    }
}

async fn text(mut items: Items<LogChunk>) -> String {
    let mut all = Vec::new();
    while let Some(item) = items.next().await {
        all.extend_from_slice(&item.unwrap().bytes);
    }
    String::from_utf8(all).unwrap()
}

async fn exec(place: &Place, container: &str, command: &[&str]) -> (String, i64) {
    let options = ExecOptions { command: words(command), ..ExecOptions::default() };
    let started = place.runtime.streams().exec(container, &options).await.unwrap();
    let output = text(started.session.unwrap().output).await;
    (output, place.runtime.streams().exec_exit_code(container, &started.id).await.unwrap())
}

async fn run(place: &Place, spec: &ContainerSpec) -> (String, i64) {
    let containers = place.runtime.containers();
    let id = containers.create(spec).await.unwrap().id;
    let output =
        place.runtime.streams().attach(id.as_str(), &AttachOptions { output: true, ..AttachOptions::default() }).await;
    containers.start(id.as_str()).await.unwrap();
    let code = containers.wait(id.as_str()).await.unwrap();
    let output = text(output.unwrap().output).await;
    containers.remove(id.as_str(), true, false).await.unwrap();
    (output, code)
}

on_daemons! {
    a_container_is_created_observed_started_stopped_and_removed: |place| Box::pin(async move {
        let runtime = &place.runtime;
        let containers = runtime.containers();
        assert!(runtime.describe().version.starts_with(['1', '2']), "{:?}", runtime.describe());
        let id = containers.create(&spec("shop-web-1", &["sh", "-c", "echo ready; trap 'exit 7' TERM; sleep 100 & wait"])).await.unwrap().id;
        let query = ObserveQuery { project: "shop".into(), images: true, volumes: true, networks: true, detail: vec![id.clone()], ..ObserveQuery::default() };
        let observed = runtime.observe(&query).await.unwrap();
        let one = &observed.containers[0];
        assert_eq!((one.state, one.name.as_str(), one.number, one.config_hash.as_str()), (State::Created, "shop-web-1", Some(1), "abc"));
        assert_eq!(one.recorded_image, observed.images.get("shop/web:1").unwrap().id.as_str());
        assert!(observed.images.contains_key("docker.io/shop/web:1"));
        assert!(one.detail.as_ref().unwrap().environment.contains(&"FROM_IMAGE=1".to_owned()));
        assert!(one.labels.keys().all(|key| key.starts_with("com.docker.compose")), "{:?}", one.labels);
        assert_eq!(one.mounts.len(), 1, "the image's volume");

        assert!(containers.create(&spec("shop-web-1", &["true"])).await.unwrap_err().is_conflict());
        assert_eq!(containers.start("shop-web-1").await.unwrap(), Outcome::Done);
        assert_eq!(containers.start("shop-web-1").await.unwrap(), Outcome::AlreadySo);
        assert_eq!(runtime.observe(&query).await.unwrap().containers[0].state, State::Running);
        assert!(containers.remove("shop-web-1", false, false).await.unwrap_err().is_conflict());
        containers.pause("shop-web-1").await.unwrap();
        assert_eq!(runtime.observe(&query).await.unwrap().containers[0].state, State::Paused);
        containers.unpause("shop-web-1").await.unwrap();
        // The trap is set when the line has been written.
        let mut log = runtime.streams().logs("shop-web-1", &LogOptions { follow: true, ..LogOptions::default() }).await.unwrap();
        assert_eq!(&log.next().await.unwrap().unwrap().bytes[..], b"ready\n");
        assert_eq!(containers.stop("shop-web-1", Some(20)).await.unwrap(), Outcome::Done);
        assert_eq!(containers.stop("shop-web-1", None).await.unwrap(), Outcome::AlreadySo);
        let inspection = containers.inspect("shop-web-1").await.unwrap();
        assert_eq!((inspection.state, inspection.exit_code), (State::Exited, 7));
        let status = runtime.observe(&query).await.unwrap().containers[0].status.clone();
        assert!(status.starts_with("Exited (7) "), "{status}");
        containers.rename("shop-web-1", &"shop-web-2".into()).await.unwrap();
        containers.start("shop-web-2").await.unwrap();
        containers.restart("shop-web-2", Some(20)).await.unwrap();
        containers.kill("shop-web-2", "SIGKILL").await.unwrap();
        assert_eq!(containers.wait(id.as_str()).await.unwrap(), 137);
        assert!(containers.kill("shop-web-2", "SIGKILL").await.unwrap_err().is_conflict());
        assert_eq!(containers.remove("shop-web-2", true, false).await.unwrap(), Outcome::Done);
        assert_eq!(containers.remove(id.as_str(), true, false).await.unwrap(), Outcome::AlreadySo);
        assert!(runtime.volumes().list(&[]).await.unwrap().is_empty());
    });

    specifications_reach_the_process: |place| Box::pin(async move {
        let mut wanted = spec("shop-web-1", &["sh", "-c",
            "id; pwd; hostname; echo $FROM_IMAGE-$OWN-$HOME; cat /etc/hosts; ulimit -n; cat /proc/sys/net/core/somaxconn; \
             cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max; mount | grep /cache; grep CapEff /proc/self/status; cat /data/seed; ls -ln /data"]);
        wanted.user = "web:log".to_owned();
        wanted.hostname = "box".to_owned();
        wanted.working_dir = "/tmp".to_owned();
        wanted.environment = [("OWN".to_owned(), Some("x".to_owned())), ("FROM_IMAGE".to_owned(), None)].into();
        wanted.extra_hosts = words(&["db=10.9.8.7"]);
        wanted.ulimits = [("nofile".to_owned(), compose_model::project::Ulimit::Single(777))].into();
        wanted.sysctls = [("net.core.somaxconn".to_owned(), "333".to_owned())].into();
        wanted.resources.pids_limit = 55;
        wanted.tmpfs = words(&["/cache:size=1m"]);
        let (output, code) = run(place, &wanted).await;
        for part in ["uid=33(web) gid=4(log)", "/tmp\n", "box\n", "-x-/srv\n", "10.9.8.7\tdb", "777\n", "333\n", "55\n", "size=1024k", "CapEff:\t0000000000000000", "seed"] {
            assert!(output.contains(part), "`{part}` is missing in:\n{output}");
        }
        assert_eq!(code, 0);
    });

    a_missing_program_is_127_and_leaves_the_container_as_it_was: |place| Box::pin(async move {
        let containers = place.runtime.containers();
        let id = containers.create(&spec("shop-web-1", &["/no/such/program"])).await.unwrap().id;
        let error = containers.start(id.as_str()).await.unwrap_err().to_string();
        assert!(error.contains("/no/such/program"), "{error}");
        let inspection = containers.inspect(id.as_str()).await.unwrap();
        // It has never run.
        assert_eq!((inspection.state, inspection.exit_code), (State::Created, 127));
        assert!(inspection.error.contains("/no/such/program"));
        containers.remove(id.as_str(), true, false).await.unwrap();
    });

    logs_are_whole_and_follow_until_the_end: |place| Box::pin(async move {
        let containers = place.runtime.containers();
        let streams = place.runtime.streams();
        let id = containers.create(&spec("shop-web-1", &["sh", "-c", "seq 1 5000; echo err >&2; printf last"])).await.unwrap().id;
        let attached = streams.attach(id.as_str(), &AttachOptions { output: true, ..AttachOptions::default() }).await.unwrap();
        containers.start(id.as_str()).await.unwrap();
        let followed = streams.logs(id.as_str(), &LogOptions { follow: true, ..LogOptions::default() }).await.unwrap();
        let (followed, attached) = tokio::join!(text(followed), text(attached.output));
        for got in [&followed, &attached] {
            assert_eq!(got.lines().filter(|line| line.parse::<u32>().is_ok()).count(), 5000);
            assert!(got.contains("err\n") && got.contains("last"));
        }
        let tail = text(streams.logs(id.as_str(), &LogOptions { tail: Some(1), ..LogOptions::default() }).await.unwrap()).await;
        assert!(tail == "last" || tail == "err\n", "{tail}");
        assert_eq!(containers.wait(id.as_str()).await.unwrap(), 0);
        containers.remove(id.as_str(), true, false).await.unwrap();
    });

    commands_are_executed_with_and_without_terminal: |place| Box::pin(async move {
        let containers = place.runtime.containers();
        let streams = place.runtime.streams();
        let id = containers.create(&spec("shop-web-1", &["sleep", "1000"])).await.unwrap().id;
        assert!(streams.exec(id.as_str(), &ExecOptions { command: words(&["true"]), ..ExecOptions::default() }).await.is_err_and(|error| error.is_conflict()));
        containers.start(id.as_str()).await.unwrap();
        assert_eq!(exec(place, "shop-web-1", &["sh", "-c", "echo out; exit 3"]).await, ("out\n".to_owned(), 3));
        let (message, code) = exec(place, "shop-web-1", &["/no/such"]).await;
        assert!(message.contains("/no/such") && code == 127, "{message} {code}");
        let options = ExecOptions { command: words(&["cat"]), stdin: true, ..ExecOptions::default() };
        let started = streams.exec("shop-web-1", &options).await.unwrap();
        let session = started.session.unwrap();
        let mut input = session.input.unwrap();
        input.write_all(b"through\n").await.unwrap();
        input.shutdown().await.unwrap();
        assert_eq!(text(session.output).await, "through\n");
        assert_eq!(streams.exec_exit_code("shop-web-1", &started.id).await.unwrap(), 0);
        let options = ExecOptions {
            command: words(&["sh", "-c", "tty; stty size; id -u; echo $A"]), tty: true, size: Some((91, 33)), user: "web".to_owned(),
            environment: words(&["A=b"]), ..ExecOptions::default()
        };
        let started = streams.exec("shop-web-1", &options).await.unwrap();
        let output = text(started.session.unwrap().output).await;
        assert!(output.contains("/dev/pts/") && output.contains("33\r\nb\r\n"), "{output}");
        let (titles, rows) = streams.top("shop-web-1").await.unwrap();
        assert!(titles.contains(&"PID".to_owned()) && rows[0].last().unwrap().contains("sleep 1000"));
        let stats = streams.stats("shop-web-1", false).await.unwrap().next().await.unwrap().unwrap();
        assert!(stats.memory_used > 0 && stats.processes == 1, "{stats:?}");
        containers.remove(id.as_str(), true, true).await.unwrap();
    });

    input_reaches_containers_with_and_without_terminal: |place| Box::pin(async move {
        let containers = place.runtime.containers();
        for tty in [false, true] {
            let mut wanted = spec("shop-web-1", &["sh", "-c", "read line; echo got $line; cat; echo end"]);
            wanted.stdin_open = true;
            wanted.tty = tty;
            let id = containers.create(&wanted).await.unwrap().id;
            let session = place.runtime.streams()
                .attach(id.as_str(), &AttachOptions { output: true, stdin: true, tty, ..AttachOptions::default() }).await.unwrap();
            containers.start(id.as_str()).await.unwrap();
            let mut input = session.input.unwrap();
            input.write_all(if tty { b"hello\nmore\n\x04" } else { b"hello\nmore\n" }).await.unwrap();
            if !tty {
                input.shutdown().await.unwrap();
            }
            let output = text(session.output).await;
            assert!(output.contains("got hello") && output.contains("more") && output.contains("end"), "{tty}: {output}");
            assert_eq!(containers.wait(id.as_str()).await.unwrap(), 0);
            containers.remove(id.as_str(), true, false).await.unwrap();
        }
    });

    volumes_keep_their_data_and_binds_are_seen: |place| Box::pin(async move {
        let volumes = place.runtime.volumes();
        let named = VolumeSpec { name: "shop_data".into(), labels: [(labels::PROJECT.to_owned(), "shop".to_owned())].into(), ..VolumeSpec::default() };
        assert_eq!(volumes.create(&named).await.unwrap(), Outcome::Done);
        assert_eq!(volumes.create(&named).await.unwrap(), Outcome::AlreadySo);
        let bound = place.directory().join("bound");
        std::fs::create_dir(&bound).unwrap();
        std::fs::write(bound.join("file"), "from the host\n").unwrap();
        let mount = |target: &str, read_only: bool, source: MountSource| MountSpec {
            target: target.to_owned(), read_only, consistency: String::new(), source, place: None
        };
        let mut wanted = spec("shop-web-1", &["sh", "-c", "cat /data/seed; echo row >> /data/rows; cat /data/rows /bound/file; (echo x > /bound/file) 2>/dev/null || echo read-only"]);
        wanted.mounts = vec![
            mount("/data", false, MountSource::Volume { name: "shop_data".into(), nocopy: false, subpath: String::new(), labels: Default::default(), selinux: String::new() }),
            mount("/bound", true, MountSource::Bind { path: bound.display().to_string(), create_host_path: false, propagation: String::new(), recursive: String::new(), selinux: String::new() }),
        ];
        assert_eq!(run(place, &wanted).await.0.matches("row\n").count(), 1);
        let (output, _) = run(place, &wanted).await;
        assert!(output.starts_with("seed\nrow\nrow\nfrom the host\n") && output.contains("read-only\n"), "{output}");
        let id = place.runtime.containers().create(&wanted).await.unwrap().id;
        assert!(volumes.remove(&"shop_data".into()).await.unwrap_err().is_conflict());
        place.runtime.containers().remove(id.as_str(), false, false).await.unwrap();
        let query = ObserveQuery { project: "shop".into(), volumes: true, ..ObserveQuery::default() };
        assert!(place.runtime.observe(&query).await.unwrap().volumes.contains_key("shop_data"));
        assert_eq!(volumes.remove(&"shop_data".into()).await.unwrap(), Outcome::Done);
        assert_eq!(volumes.remove(&"shop_data".into()).await.unwrap(), Outcome::AlreadySo);
    });

    files_are_copied_in_and_out_also_before_the_start: |place| Box::pin(async move {
        let containers = place.runtime.containers();
        let streams = place.runtime.streams();
        let mut wanted = spec("shop-web-1", &["sh", "-c", "cat /run/secrets/token; ls -ln /run/secrets/token; sleep 1000"]);
        wanted.files = vec![compose_planner::spec::FileSpec {
            object: String::new(),
            secret: true, name: "shop_token".to_owned(), target: "/run/secrets/token".to_owned(),
            content: compose_planner::spec::FileContent::Inline { text: String::new() }, uid: "33".to_owned(), gid: "4".to_owned(), mode: 0o440,
        }];
        let id = containers.create(&wanted).await.unwrap().id;
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o440);
        header.set_uid(33);
        header.set_gid(4);
        header.set_size(7);
        archive.append_data(&mut header, "run/secrets/token", &b"s3cr3t\n"[..]).unwrap();
        let bytes = std::io::Cursor::new(archive.into_inner().unwrap());
        streams.put_archive(id.as_str(), "/", Box::pin(bytes), true).await.unwrap();
        containers.start(id.as_str()).await.unwrap();
        let mut log = streams.logs(id.as_str(), &LogOptions { follow: true, ..LogOptions::default() }).await.unwrap();
        assert_eq!(&log.next().await.unwrap().unwrap().bytes[..], b"s3cr3t\n");
        let listed = log.next().await.unwrap().unwrap();
        assert!(listed.bytes.starts_with(b"-r--r-----    1 33       4"), "{listed:?}");
        drop(log);
        for running in [true, false] {
            if !running {
                containers.kill(id.as_str(), "SIGKILL").await.unwrap();
            }
            let stat = streams.stat_path(id.as_str(), "/etc/passwd").await.unwrap().unwrap();
            assert!(!stat.is_directory && stat.name == "passwd");
            assert!(streams.stat_path(id.as_str(), "/no").await.unwrap().is_none());
            let link = streams.stat_path(id.as_str(), "/bin/sh").await.unwrap().unwrap();
            assert_eq!(link.link_target, "busybox");
            let mut reader = streams.get_archive(id.as_str(), "/data").await.unwrap();
            let mut bytes = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut bytes).await.unwrap();
            let mut archive = tar::Archive::new(&bytes[..]);
            let found = archive.entries().unwrap().any(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.path().unwrap().ends_with("seed") && entry.read_to_string(&mut text).is_ok() && text == "seed\n"
            });
            assert!(found, "running: {running}");
        }
        containers.remove(id.as_str(), true, true).await.unwrap();
    });

    files_of_every_kind_are_copied_and_none_leaves_the_container: |place| Box::pin(async move {
        let containers = place.runtime.containers();
        let streams = place.runtime.streams();
        let id = containers.create(&spec("shop-web-1", &["sleep", "1000"])).await.unwrap().id;
        let header = |kind, size| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o640);
            header.set_size(size);
            header.set_uid(33);
            header.set_gid(4);
            header.set_mtime(1_000_000_000);
            header
        };
        let packed = |make: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
            let mut archive = tar::Builder::new(Vec::new());
            make(&mut archive);
            std::io::Cursor::new(archive.into_inner().unwrap())
        };
        let kinds = [
            ("all", tar::EntryType::Directory), ("all/device", tar::EntryType::Char), ("all/disk", tar::EntryType::Block),
            ("all/file", tar::EntryType::Regular), ("all/link", tar::EntryType::Symlink),
            ("all/more", tar::EntryType::Regular), ("all/pipe", tar::EntryType::Fifo),
        ];
        for running in [false, true] {
            if running {
                containers.start(id.as_str()).await.unwrap();
            }
            let bytes = packed(&|archive| {
                for (path, kind) in kinds {
                    let mut header = header(kind, if path == "all/file" { 5 } else { 0 });
                    match kind {
                        tar::EntryType::Symlink => archive.append_link(&mut header, path, "/etc").unwrap(),
                        // The second name of the one file.
                        _ if path == "all/more" => {
                            header.set_entry_type(tar::EntryType::Link);
                            archive.append_link(&mut header, path, "all/file").unwrap();
                        }
                        _ => {
                            header.set_device_major(7).unwrap();
                            header.set_device_minor(if kind.is_file() { 0 } else { 9 }).unwrap();
                            archive.append_data(&mut header, path, if kind.is_file() { &b"text\n"[..] } else { b"" }).unwrap();
                        }
                    }
                }
            });
            streams.put_archive(id.as_str(), "/root", Box::pin(bytes), false).await.unwrap();
            let mut reader = streams.get_archive(id.as_str(), "/root/all").await.unwrap();
            let mut bytes = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut bytes).await.unwrap();
            let mut archive = tar::Archive::new(&bytes[..]);
            let mut found = Vec::new();
            for entry in archive.entries().unwrap() {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                let kind = header.entry_type();
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (33, 4), "{path}");
                if matches!(kind, tar::EntryType::Char | tar::EntryType::Block) {
                    assert_eq!((header.device_major().unwrap(), header.device_minor().unwrap()), (Some(7), Some(9)));
                }
                if kind.is_file() {
                    assert_eq!((header.size().unwrap(), header.mtime().unwrap()), (5, 1_000_000_000), "{path}");
                }
                found.push((path.trim_end_matches('/').to_owned(), kind));
            }
            let wanted: Vec<(String, tar::EntryType)> = kinds.map(|(path, kind)| (path.to_owned(), kind)).into();
            assert_eq!(found, wanted, "running: {running}");

            // Through links, `..` and hard links to the outside.
            let aside = place.directory().join("aside");
            std::fs::create_dir_all(&aside).unwrap();
            std::fs::write(aside.join("secret"), "s").unwrap();
            let below = aside.display().to_string();
            for (name, first, then) in [
                ("out", Some((&*below, tar::EntryType::Symlink)), "out/file"),
                ("up", Some(("../../../../../../../../../../..", tar::EntryType::Symlink)), "up/aside-of-a-test"),
                ("steal", Some((&*below, tar::EntryType::Link)), "steal"),
                ("none", None, "../../aside-of-a-test"),
            ] {
                let bytes = packed(&|archive| {
                    if let Some((target, kind)) = first {
                        archive.append_link(&mut header(kind, 0), name, target).unwrap();
                    }
                    let mut last = header(tar::EntryType::Regular, 1);
                    last.as_old_mut().name[..then.len()].copy_from_slice(then.as_bytes());
                    last.set_cksum();
                    archive.append(&last, &b"x"[..]).unwrap();
                });
                let put = streams.put_archive(id.as_str(), "/root", Box::pin(bytes), false).await;
                println!("{name}: {put:?}");
                assert!(!Path::new("/aside-of-a-test").exists(), "{name}");
                let left: Vec<_> = std::fs::read_dir(&aside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                assert_eq!(left, ["secret"], "{name}");
                assert_eq!(std::fs::read_to_string(aside.join("secret")).unwrap(), "s", "{name}");
            }
        }
        containers.remove(id.as_str(), true, true).await.unwrap();
    });

    events_tell_the_life_of_a_container: |place| Box::pin(async move {
        let query = EventQuery { labels: vec![(labels::PROJECT.to_owned(), Some("shop".to_owned()))], ..EventQuery::default() };
        let mut events = place.runtime.streams().events(&query).await.unwrap();
        run(place, &spec("shop-web-1", &["sh", "-c", "exit 5"])).await;
        let mut actions = Vec::new();
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            if event.action == "die" {
                assert_eq!(event.attributes["exitCode"], "5");
            }
            assert_eq!((event.name.as_str(), event.attributes[labels::SERVICE].as_str()), ("shop-web-1", "web"));
            actions.push(event.action.clone());
            if event.action == "destroy" {
                break;
            }
        }
        assert_eq!(actions, ["create", "start", "die", "destroy"]);
    });

    networks_connect_containers_and_publish_ports: |place| Box::pin(async move {
        let networks = place.runtime.networks();
        let containers = place.runtime.containers();
        let network = |name: &str, internal: bool| NetworkSpec {
            name: name.into(), internal, labels: [(labels::PROJECT.to_owned(), "shop".to_owned())].into(), ..NetworkSpec::default()
        };
        let id = networks.create(&network("shop_default", false)).await.unwrap();
        assert_eq!(networks.create(&network("shop_default", false)).await.unwrap(), id);
        networks.create(&network("shop_back", true)).await.unwrap();
        let endpoint = |name: &str| EndpointSpec { network: name.into(), ..EndpointSpec::default() };
        let mut web = spec("shop-web-1", &["sh", "-c", "echo page > /tmp/index.html; httpd -f -h /tmp -p 80"]);
        web.network_mode = compose_planner::spec::NetworkMode::Networks;
        web.networks = vec![endpoint("shop_default"), endpoint("shop_back")];
        web.ports = vec![PortSpec { target: 80, protocol: "tcp".to_owned(), ..PortSpec::default() }];
        let mut db = spec("shop-db-1", &["sleep", "1000"]);
        db.network_mode = compose_planner::spec::NetworkMode::Networks;
        db.networks = vec![endpoint("shop_back")];
        for one in [&web, &db] {
            containers.create(one).await.unwrap();
            containers.start(one.name.as_str()).await.unwrap();
        }
        let rules = place.forward_rules();
        let addresses: Vec<String> = containers.inspect("shop-web-1").await.unwrap().addresses.into_values().collect();
        assert_eq!(addresses.len(), 2);
        assert!(!addresses.iter().any(|address| rules.contains(&format!(" {address}/32 "))), "rules of a container: {rules}");
        for bridge in place.bridges() {
            assert_eq!(rules.matches(&format!(" {bridge} ")).count(), 2, "{bridge}: {rules}");
        }
        let inspection = containers.inspect("shop-web-1").await.unwrap();
        let port = inspection.ports.iter().find(|port| port.published != 0).unwrap().published;
        let address = inspection.addresses["shop_back"].clone();
        let fetch = format!("for i in 1 2 3 4 5; do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 80 && break; done");
        let (page, _) = exec(place, "shop-db-1", &["sh", "-c", &fetch]).await;
        assert!(page.contains("page"), "{page}");
        let (loopback, _) = exec(place, "shop-web-1", &["sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 127.0.0.1 80"]).await;
        assert!(loopback.contains("page"), "{loopback}");
        let from_host = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        }).await.unwrap();
        assert!(from_host.contains("page"), "{from_host}");

        let mut taken = spec("shop-web-2", &["sleep", "1000"]);
        taken.network_mode = compose_planner::spec::NetworkMode::Networks;
        taken.networks = vec![endpoint("shop_default")];
        taken.ports = vec![PortSpec { target: 80, protocol: "tcp".to_owned(), published: port.to_string(), ..PortSpec::default() }];
        containers.create(&taken).await.unwrap();
        let error = containers.start("shop-web-2").await.unwrap_err().to_string();
        assert_eq!(error, format!("Bind for 0.0.0.0:{port} failed: port is already allocated"));
        containers.stop("shop-web-1", Some(0)).await.unwrap();
        containers.start("shop-web-2").await.unwrap();
        containers.start("shop-web-1").await.unwrap();
        assert_eq!(containers.inspect("shop-web-1").await.unwrap().addresses["shop_back"], address, "the address stays");
        networks.disconnect("shop-db-1", &"shop_back".into()).await.unwrap();
        networks.connect("shop-db-1", &endpoint("shop_default")).await.unwrap();
        let (devices, _) = exec(place, "shop-db-1", &["ip", "-o", "addr"]).await;
        assert!(devices.contains("eth0") && !devices.contains(&address), "{devices}");

        assert!(networks.remove("shop_default").await.unwrap_err().is_conflict());
        for name in ["shop-web-1", "shop-web-2", "shop-db-1"] {
            containers.remove(name, true, true).await.unwrap();
        }
        for name in ["shop_default", "shop_back"] {
            assert_eq!(networks.remove(name).await.unwrap(), Outcome::Done);
            assert_eq!(networks.remove(name).await.unwrap(), Outcome::AlreadySo);
        }
    });

    buildctl_builds_several_images_at_once: |place| Box::pin(async move {
        let socket = place.directory().join("buildkitd.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (program, at_once, together) in [("buildctl", 4, false), ("docker-buildx", 1, true)] {
            let programs = place.directory().join(program);
            std::fs::create_dir(&programs).unwrap();
            std::fs::write(programs.join(program), "#!/bin/sh\n").unwrap();
            let settings = runtime_containerd::BuildSettings {
                host: format!("unix://{}", socket.display()),
                search_path: programs.display().to_string(),
                ..runtime_containerd::BuildSettings::default()
            };
            let runtime = runtime_containerd::Containerd::connect(place.settings.clone()).await.unwrap();
            let runtime = runtime.with_builder(&settings);
            assert_eq!(runtime.capabilities().concurrency.build, at_once, "{program}");
            assert_eq!(runtime.builder().unwrap().builds_together(), together, "{program}");
        }
        drop(listener);
    });

    both_forms_of_archives_are_loaded: |place| Box::pin(async move {
        // The job of the tests makes archives that are an OCI layout.
        if let Some(folder) = support::setting("COMPOSE_TEST_IMAGES") {
            let archive = std::path::Path::new(&folder).join("demonstration.tar");
            assert_eq!(place.load(&archive).await, ["example/app:1", "example/front:1"]);
            let found = place.runtime.images().inspect("example/app:1").await.unwrap().unwrap();
            assert_eq!(found.tags, ["example/app:1"]);
            let mut wanted = spec("shop-web-1", &["echo", "oci"]);
            wanted.image = "example/app:1".into();
            assert_eq!(run(place, &wanted).await, ("oci\n".to_owned(), 0));
            for image in ["example/app:1", "example/front:1"] {
                place.runtime.images().remove(&image.into()).await.unwrap();
            }
        }
        let broken = std::io::Cursor::new(b"no archive at all".to_vec());
        assert!(place.runtime.images().load(Box::pin(broken)).await.is_err());
    });
}
