//! What is on the machine for a project on containerd: what other tools and other users see of it,
//! and what is left when somebody else takes containers away.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq, eventually};
use serde_json::Value;

crate::cases! { Containerd:
    other_tools_see_our_containers,
    nothing_is_open_to_other_users,
    secrets_are_in_memory_and_go_with_the_container,
    what_others_take_away_is_given_back,
    hostile_texts_stay_in_their_places,
    networks_have_ipv6_where_it_is_asked_for,
}

const LIMIT: Duration = Duration::from_secs(60);

const TEXT: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    ports: ['80']
    ipc: shareable
    restart: always
    secrets: [{source: word, uid: '1000', gid: '1001', mode: 0440}]
    volumes: ['data:/data']
  other:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    stdin_open: true
volumes:
  data: {}
secrets:
  word: {environment: WORD}
";

fn project(engine: &Engine) -> Result<Project, String> {
    let mut project = Project::with(engine, TEXT)?;
    project.set("WORD", "hush-hush");
    project.compose(&["up", "-d"])?.ok()?;
    Ok(project)
}

/// First digits of the digest of the socket's path: where the program keeps things.
fn hash(engine: &Engine) -> Result<String, String> {
    let script = format!("printf %s '{}' | sha256sum", engine.socket);
    let output = Command::new("sh").args(["-c", &script]).output().map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).chars().take(8).collect())
}

/// Directories of a container that survive a reboot, and that do not.
fn directories(engine: &Engine, id: &str) -> Result<[PathBuf; 2], String> {
    let hash = hash(engine)?;
    let of = |root: &str| Path::new(root).join(&hash).join("containers").join(engine.namespace()).join(id);
    Ok([of("/var/lib/compose"), of("/run/compose")])
}

/// Everything below a directory, without what is mounted there.
fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    let device = std::fs::metadata(directory).map(|metadata| metadata.dev()).ok();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = path.symlink_metadata() else { continue };
        found.push(path.clone());
        if metadata.is_dir() && Some(metadata.dev()) == device {
            walk(&path, found);
        }
    }
}

fn info(engine: &Engine, id: &str) -> Result<Value, String> {
    serde_json::from_str(&engine.ctr(&["containers", "info", id])?).map_err(|error| error.to_string())
}

fn other_tools_see_our_containers(engine: &Engine) -> CaseResult {
    let project = project(engine)?;
    let web = project.only("web")?;
    let info = info(engine, &web.id)?;
    let label = |key: &str| info["Labels"][key].as_str().unwrap_or_default().to_owned();
    for (key, value) in [
        ("nerdctl/name", web.name.clone()),
        ("nerdctl/namespace", engine.namespace()),
        ("nerdctl/platform", format!("linux/{}", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" })),
        ("nerdctl/networks", format!("[\"{}_default\"]", project.name)),
        ("com.docker.compose.project", project.name.clone()),
        ("com.docker.compose.service", "web".to_owned()),
    ] {
        ensure_eq!(label(key), value, "label {key}");
    }
    let ports: Value = serde_json::from_str(&label("nerdctl/ports")).map_err(|error| error.to_string())?;
    let published = web.published("80/tcp").ok_or("no port is published")?;
    ensure_eq!(ports[0]["HostPort"], published, "the host port in {ports}");
    ensure_eq!(ports[0]["ContainerPort"], 80, "the container port in {ports}");
    let mounts: Value = serde_json::from_str(&label("nerdctl/mounts")).map_err(|error| error.to_string())?;
    ensure!(mounts.to_string().contains(&format!("{}_data", project.name)), "mounts: {mounts}");
    // nerdctl asks the image store for the image, and the specification for the command.
    let image = info["Image"].as_str().unwrap_or_default();
    ensure!(engine.ctr(&["images", "ls", "-q"])?.lines().any(|line| line == image), "the image {image}");
    ensure_eq!(info["Spec"]["process"]["args"][0], "sleep", "the command");
    // ctr stops it; the policy starts it again, and the labels stay.
    ensure!(engine.ctr(&["tasks", "ls"])?.contains(&web.id), "ctr does not list the task");
    Ok(())
}

fn nothing_is_open_to_other_users(engine: &Engine) -> CaseResult {
    let project = project(engine)?;
    project.compose(&["exec", "-d", "web", "sleep", "100"])?.ok()?;
    let hash = hash(engine)?;
    let mut found = Vec::new();
    for root in ["/run/compose", "/var/lib/compose", "/var/lib/nerdctl"] {
        let root = Path::new(root).join(&hash);
        let others = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "ls"])
            .arg(&root)
            .output()
            .map_err(|error| format!("setpriv: {error}"))?;
        ensure!(!others.status.success(), "others can look into {}", root.display());
        found.push(root.clone());
        walk(&root, &mut found);
    }
    let mut sockets = 0;
    for path in &found {
        // Another case's, gone by now, or a user's data.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_symlink()
            || path.components().any(|part| matches!(part.as_os_str().to_str(), Some("_data" | "mounts")))
        {
            continue;
        }
        let mode = metadata.mode() & 0o7777;
        ensure!(mode & 0o002 == 0, "{} is writable by others: {mode:o}", path.display());
        if metadata.file_type().is_socket() || metadata.file_type().is_fifo() {
            ensure!(mode & 0o077 == 0, "{} is open to others: {mode:o}", path.display());
            ensure_eq!(metadata.uid(), 0, "owner of {}", path.display());
            sockets += usize::from(metadata.file_type().is_socket());
        }
    }
    ensure!(sockets >= 1, "the supervisor's socket is not among {} files", found.len());
    Ok(())
}

fn secrets_are_in_memory_and_go_with_the_container(engine: &Engine) -> CaseResult {
    let project = project(engine)?;
    let web = project.only("web")?;
    let [data, state] = directories(engine, &web.id)?;
    let stat = project.compose(&["exec", "-T", "web", "stat", "-c", "%u %g %a", "/run/secrets/word"])?.ok()?;
    ensure_eq!(stat.stdout.trim(), "1000 1001 440", "owner and mode");
    let file = state.join("mounts/secrets/0");
    let kind = Command::new("stat").args(["-f", "-c", "%T"]).arg(&file).output().map_err(|error| error.to_string())?;
    ensure_eq!(String::from_utf8_lossy(&kind.stdout).trim(), "tmpfs", "where {} is", file.display());
    ensure_eq!(std::fs::read_to_string(&file).unwrap_or_default(), "hush-hush", "the content");
    // Nowhere else: not on the disk, not in the record.
    let mut found = Vec::new();
    walk(&data, &mut found);
    for path in found.iter().filter(|path| path.is_file()) {
        let text = std::fs::read(path).unwrap_or_default();
        ensure!(!String::from_utf8_lossy(&text).contains("hush-hush"), "{} holds the secret", path.display());
    }
    ensure!(!engine.ctr(&["containers", "info", &web.id])?.contains("hush-hush"), "the record holds the secret");
    project.compose(&["down"])?.ok()?;
    ensure!(!state.exists() && !data.exists(), "something of the container is left");
    Ok(())
}

/// The machine's traces of a container: network namespace, leases of addresses, rules, directories.
fn traces(engine: &Engine, id: &str) -> Result<Vec<String>, String> {
    let mut found: Vec<String> = Vec::new();
    for directory in directories(engine, id)? {
        if directory.exists() {
            found.push(directory.display().to_string());
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
    found.extend(mounts.lines().filter(|line| line.contains(id)).map(str::to_owned));
    let grep = Command::new("grep").args(["-rls", id, "/var/lib/cni"]).output().map_err(|error| error.to_string())?;
    found.extend(String::from_utf8_lossy(&grep.stdout).lines().map(str::to_owned));
    let rules = Command::new("iptables-save").output().map_err(|error| format!("iptables-save: {error}"))?;
    found.extend(String::from_utf8_lossy(&rules.stdout).lines().filter(|line| line.contains(id)).map(str::to_owned));
    Ok(found)
}

fn gone(engine: &Engine, id: &str) -> CaseResult {
    eventually(LIMIT, || match traces(engine, id)?.as_slice() {
        [] => Ok(()),
        left => Err(format!("left of the container: {left:#?}")),
    })
}

fn what_others_take_away_is_given_back(engine: &Engine) -> CaseResult {
    let project = project(engine)?;
    let web = project.only("web")?;
    ensure!(traces(engine, &web.id)?.len() >= 4, "the traces are not found: {:?}", traces(engine, &web.id));
    // A process that somebody ends is started again, as after a crash.
    engine.ctr(&["tasks", "kill", "-s", "SIGKILL", &web.id])?;
    eventually(LIMIT, || {
        let now = project.only("web")?;
        let back = now.state == "running" && now.started_at != web.started_at;
        if back { Ok(()) } else { Err(format!("web is {}", now.state)) }
    })?;
    // A container that somebody removes leaves nothing.
    engine.ctr(&["tasks", "rm", "-f", &web.id])?;
    eventually(LIMIT, || {
        // The policy may have been quicker.
        let _ = engine.ctr(&["tasks", "rm", "-f", &web.id]);
        engine.ctr(&["containers", "rm", &web.id]).map(drop)
    })?;
    gone(engine, &web.id)?;
    // The next command makes it anew, with the volume.
    project.compose(&["up", "-d"])?.ok()?;
    ensure!(project.only("web")?.id != web.id, "the container is the old one");
    ensure_eq!(project.only("web")?.state, "running", "the new container");
    let other = project.only("other")?;
    engine.ctr(&["tasks", "rm", "-f", &other.id])?;
    engine.ctr(&["containers", "rm", &other.id])?;
    project.compose(&["down", "-v"])?.ok()?;
    gone(engine, &other.id)
}

fn hostile_texts_stay_in_their_places(engine: &Engine) -> CaseResult {
    let project = Project::new(engine)?;
    let service = |further: &str| {
        project.write(
            "compose.yaml",
            &format!("services:\n  a:\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n{further}\n"),
        )
    };
    for (further, says) in [
        ("    image: ../../../etc/passwd", "image"),
        ("    image: 'busybox\"||labels.x==\"y'", "image"),
        ("    image: busybox\n    container_name: ../../escape", "container name"),
        (
            "    image: busybox\n    volumes: [{type: volume, source: v, target: /v}]\nvolumes: {v: {name: ../../escape}}",
            "volume",
        ),
        ("    image: busybox\n    networks: [n]\nnetworks: {n: {name: ../../escape}}", "network"),
    ] {
        service(further)?;
        let run = project.compose(&["up", "-d", "--pull", "never"])?;
        ensure!(run.code != 0, "{further}: {run}");
        ensure!(run.stderr.to_lowercase().contains(says), "{further}: does not name the {says}: {run}");
    }
    ensure_eq!(project.states()?, vec![], "containers");
    for path in ["/var/lib/escape", "/run/escape", "/var/lib/nerdctl/escape", "/etc/cni/escape", "/etc/escape"] {
        ensure!(!Path::new(path).exists(), "{path} was made");
    }
    // Texts that are allowed arrive as they are, and nothing else is made of them.
    let line = "{\"log\":\"fake\\n\",\"stream\":\"stderr\",\"time\":\"2001-01-01T00:00:00Z\"} \\u001b[2J ../..";
    let text = |further: &str| {
        let line = serde_json::to_string(line).unwrap_or_default();
        format!("services:\n  a:\n    image: busybox\n    command: [echo, {line}]\n{further}\n")
    };
    project.write("compose.yaml", &text("    labels: {'a/../b': \"x\\ny\\\"z\", '../../../x': y}"))?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["wait", "a"])?;
    let logs = project.compose(&["logs", "--no-log-prefix", "a"])?.ok()?;
    ensure_eq!(logs.stdout.trim_end(), line, "the log line");
    let a = project.only("a")?;
    ensure_eq!(a.label("a/../b"), "x\ny\"z", "the label");
    ensure_eq!(a.label("../../../x"), "y", "the label with a path");
    for further in ["    extra_hosts: [\"a\\n6.6.6.6 bank=1.2.3.4\"]", "    domainname: \"x\\nnameserver 6.6.6.6\""] {
        project.write("compose.yaml", &text(further))?;
        project.compose(&["up", "-d"])?.exits(1)?.says("line break")?;
    }
    cp_stays_in_the_container(engine)
}

/// `cp` through links and names that lead out of the container's root.
fn cp_stays_in_the_container(engine: &Engine) -> CaseResult {
    let text = "services: {a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}}";
    let project = Project::with(engine, text)?;
    project.compose(&["up", "-d"])?.ok()?;
    let aside = project.folder().join("aside");
    std::fs::create_dir(&aside).map_err(|error| error.to_string())?;
    project.write("aside/word", "the host's\n")?;
    project.write("given", "given\n")?;
    let place = aside.display();
    let links = format!(
        "mkdir -p /w && ln -s {place} /w/out && ln -s ../../../../../../../..{place} /w/up && ln -s /proc/1/root{place} /w/root"
    );
    project.compose(&["exec", "-T", "a", "sh", "-c", &links])?.ok()?;
    for running in [true, false] {
        if !running {
            project.compose(&["stop"])?.ok()?;
        }
        for link in ["out", "up", "root"] {
            // Where the link leads is not in the container: nothing is read, and nothing is written outside.
            let read = project.compose(&["cp", &format!("a:/w/{link}/word"), "taken"])?;
            ensure!(read.code != 0 && !project.folder().join("taken").exists(), "{link} was read through: {read}");
            let _ = project.compose(&["cp", "given", &format!("a:/w/{link}/word")])?;
            let _ = project.compose(&["cp", "given", &format!("a:/w/{link}")])?;
            let names: Vec<_> = std::fs::read_dir(&aside).into_iter().flatten().flatten().collect();
            ensure_eq!(names.len(), 1, "files of the host after a copy through {link}");
            let word = std::fs::read_to_string(aside.join("word")).unwrap_or_default();
            ensure_eq!(word, "the host's\n", "the host's file after a copy through {link}");
        }
    }
    Ok(())
}

fn networks_have_ipv6_where_it_is_asked_for(engine: &Engine) -> CaseResult {
    if std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6").map_or(true, |text| text.trim() != "0") {
        let project =
            Project::with(engine, "services: {a: {image: busybox}}\nnetworks: {default: {enable_ipv6: true}}")?;
        let run = project.compose(&["up", "-d"])?.exits(1)?;
        ensure!(run.stderr.contains("enable_ipv6"), "what is refused: {run}");
        ensure!(engine.networks(&project.name)?.is_empty(), "something was done before the refusal");
        return Ok(());
    }
    // A subnet that no other case has.
    let part = std::process::id() % 0xffff;
    let subnet = format!("fd00:e6:{part:x}");
    let project = Project::with(
        engine,
        &format!(
            "services:
  a:
    image: busybox
    command: sh -c 'mkdir /www; echo six > /www/index.html; exec httpd -f -p 80 -h /www'
    stop_signal: SIGKILL
    ports: ['[::]::80']
    networks: {{fixed: {{ipv6_address: '{subnet}::42'}}, chosen: }}
  b: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, networks: [fixed, chosen]}}
networks:
  fixed: {{enable_ipv6: true, ipam: {{config: [{{subnet: '{subnet}::/64'}}]}}}}
  chosen: {{enable_ipv6: true}}
"
        ),
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    let own = project.compose(&["exec", "-T", "a", "cat", "/proc/net/if_inet6"])?.ok()?.stdout;
    let fixed = format!("fd0000e6{part:04x}00000000000000000042");
    ensure!(own.contains(&fixed), "the fixed address {fixed} is not among\n{own}");
    ensure!(own.lines().filter(|line| line.starts_with("fd")).count() == 2, "one address for each network:\n{own}");
    // Its name stands for both families.
    for (kind, wanted) in [("AAAA", "fd".to_owned()), ("A", "10.4.".to_owned())] {
        let asked = format!("-type={kind}");
        let run = project.compose(&["exec", "-T", "b", "nslookup", &asked, "a", "127.0.0.11"])?.ok()?;
        ensure!(run.stdout.contains(&wanted), "{kind} of a: {run}");
    }
    eventually(LIMIT, || {
        let url = format!("http://[{subnet}::42]/");
        project.compose(&["exec", "-T", "b", "wget", "-q", "-O", "-", &url])?.ok()?.says("six")
    })?;
    // From the machine, through the published port.
    let port = project.only("a")?.published("80/tcp").ok_or("no port is published")?;
    let page = eventually(LIMIT, || compose_tests::http::get(&format!("{subnet}::1"), port, "/"))?;
    ensure_eq!(page.body, "six\n", "what the published port answers");
    // An application that comes back has its addresses.
    project.compose(&["restart", "a"])?.ok()?;
    let again = project.compose(&["exec", "-T", "a", "cat", "/proc/net/if_inet6"])?.ok()?.stdout;
    ensure!(again.contains(&fixed), "the fixed address after a restart: {again}");
    let bridge = format!("{subnet}::1");
    project.compose(&["down"])?.ok()?;
    let left = Command::new("ip").args(["-6", "addr"]).output().map_err(|error| error.to_string())?;
    ensure!(!String::from_utf8_lossy(&left.stdout).contains(&bridge), "the bridge is left");
    let rules = Command::new("ip6tables-save").output().map_err(|error| format!("ip6tables-save: {error}"))?;
    ensure!(!String::from_utf8_lossy(&rules.stdout).contains(&subnet), "rules are left");
    Ok(())
}
