//! What confines containers and what they share: capabilities, seccomp, namespaces, an init
//! process, parts of volumes and images as mounts.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    system_calls_are_filtered_as_the_file_says,
    privileges_are_given_and_withheld,
    an_init_process_runs_the_program,
    processes_and_memory_are_shared_between_services,
    parts_of_volumes_are_mounted_and_links_stay_inside,
    images_are_mounted,
}

/// A line of a process's status in the container of a service.
fn status(project: &Project, service: &str, key: &str) -> Result<String, String> {
    let run = project.compose(&["exec", "-T", service, "grep", &format!("^{key}:"), "/proc/self/status"])?.ok()?;
    Ok(run.stdout.split_whitespace().nth(1).unwrap_or_default().to_owned())
}

fn system_calls_are_filtered_as_the_file_says(engine: &Engine) -> CaseResult {
    let service = |name: &str, further: &str| {
        format!("  {name}:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n{further}")
    };
    let option = |text: &str| format!("    security_opt: ['{text}']\n");
    let services = [
        service("plain", ""),
        service("free", &option("seccomp=unconfined")),
        service("admin", "    cap_add: [SYS_ADMIN]\n"),
        service("own", &option("seccomp:./profile.json")),
        service("sealed", &option("no-new-privileges:true")),
    ];
    let project = Project::with(engine, &format!("services:\n{}", services.concat()))?;
    project.write(
        "profile.json",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["chmod", "fchmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "args": null}]}"#,
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    for (service, filtered) in [("plain", "2"), ("free", "0"), ("own", "2"), ("sealed", "2")] {
        ensure_eq!(status(&project, service, "Seccomp")?, filtered, "the filter of {service}");
    }
    ensure_eq!(status(&project, "plain", "NoNewPrivs")?, "0", "plain");
    ensure_eq!(status(&project, "sealed", "NoNewPrivs")?, "1", "no-new-privileges");
    let able = |service: &str, command: &[&str]| -> Result<bool, String> {
        Ok(project.compose(&[&["exec", "-T", service], command].concat())?.code == 0)
    };
    ensure!(able("plain", &["chmod", "700", "/tmp"])?, "chmod in plain");
    ensure!(!able("own", &["chmod", "700", "/tmp"])?, "chmod against the profile of the file");
    // Who has the capability has the calls that it guards.
    let new_namespace = &["unshare", "-n", "true"];
    ensure!(!able("plain", new_namespace)?, "a namespace without the capability");
    ensure!(able("admin", new_namespace)?, "a namespace with the capability");
    project.write("profile.json", "{")?;
    project.compose(&["up", "-d", "--force-recreate", "own"])?.exits(1)?.says("profile.json")?;
    Ok(())
}

fn privileges_are_given_and_withheld(engine: &Engine) -> CaseResult {
    // Engine 20.10 asks for capabilities that a confined machine cannot give.
    let scale = if engine.name == "docker20" { "privileged=0" } else { "privileged=1" };
    let project = Project::with(
        engine,
        "services:\n  plain:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n  privileged:\n    \
         image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    privileged: true\n  bare:\n    image: \
         busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    cap_drop: [ALL]\n    cap_add: [CHOWN]\n    userns_mode: host\n",
    )?;
    project.compose(&["up", "-d", "--scale", scale])?.ok()?;
    ensure_eq!(status(&project, "plain", "CapEff")?, "00000000a80425fb", "default capabilities");
    ensure_eq!(status(&project, "bare", "CapEff")?, "0000000000000001", "one capability");
    let writes = |service: &str, path: &str| -> Result<bool, String> {
        Ok(project.compose(&["exec", "-T", service, "sh", "-c", &format!("true 2>/dev/null >>{path}")])?.code == 0)
    };
    ensure!(!writes("plain", "/proc/sys/kernel/domainname")?, "/proc/sys is writable");
    if scale == "privileged=1" {
        let writable = writes("privileged", "/proc/sys/kernel/domainname")?;
        ensure!(writable, "/proc/sys is read-only for a privileged container");
        ensure_eq!(status(&project, "privileged", "Seccomp")?, "0", "the filter of a privileged container");
    }
    let masked = project.compose(&["exec", "-T", "plain", "ls", "/sys/firmware"])?.ok()?;
    ensure_eq!(masked.stdout, "", "what a masked path holds");
    Ok(())
}

fn an_init_process_runs_the_program(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  web:\n    image: busybox\n    command: sh -c 'exit 7'\n    init: true\n  long:\n    image: busybox\n    \
         command: sleep 1000\n    init: true\n",
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["wait", "web"])?.exits(7)?;
    let first = project.compose(&["exec", "-T", "long", "cat", "/proc/1/comm"])?.ok()?;
    ensure_eq!(first.stdout.trim(), "docker-init", "process 1");
    // It passes the signal on: a `sleep` as process 1 would have to be killed.
    project.compose(&["stop", "-t", "60", "long"])?.ok()?;
    ensure_eq!(project.only("long")?.inspect["State"]["ExitCode"], 143, "the exit code");
    Ok(())
}

fn processes_and_memory_are_shared_between_services(engine: &Engine) -> CaseResult {
    let sleep = "image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n";
    let project = Project::with(
        engine,
        &format!(
            "services:\n  first:\n    {sleep}    ipc: shareable\n  second:\n    {sleep}    pid: service:first\n    ipc: \
             service:first\n  third:\n    {sleep}"
        ),
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["exec", "-T", "first", "sh", "-c", "echo seen > /dev/shm/file"])?.ok()?;
    let read = |service: &str, command: &[&str]| project.compose(&[&["exec", "-T", service], command].concat());
    ensure_eq!(read("second", &["cat", "/dev/shm/file"])?.ok()?.stdout, "seen\n", "the shared memory");
    ensure!(read("third", &["cat", "/dev/shm/file"])?.code != 0, "memory that is not shared");
    let sleeps = |service: &str| -> Result<usize, String> {
        Ok(read(service, &["ps"])?.ok()?.stdout.lines().filter(|line| line.contains("sleep 1000")).count())
    };
    ensure_eq!((sleeps("first")?, sleeps("second")?, sleeps("third")?), (2, 2, 1), "processes that each sees");
    // The namespaces go with the process, and the next one is joined.
    project.compose(&["restart"])?.ok()?;
    ensure_eq!(sleeps("second")?, 2, "processes after a restart");
    project.compose(&["down"])?.ok()?;
    Ok(())
}

/// Whether the engine refuses an attribute because it is too old, as it should then.
fn refused_by_an_old_engine(engine: &Engine, project: &Project) -> Result<bool, String> {
    if engine.name != "docker20" {
        return Ok(false);
    }
    project.compose(&["up", "-d"])?.exits(1)?.says("needs Docker Engine")?;
    Ok(true)
}

fn parts_of_volumes_are_mounted_and_links_stay_inside(engine: &Engine) -> CaseResult {
    let text = |subpath: &str| {
        format!(
            "services:\n  all:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    volumes: \
             ['data:/data']\n  part:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    profiles: \
             [later]\n    volumes:\n      - {{type: volume, source: data, target: /part, volume: {{subpath: {subpath}}}}}\nvolumes: \
             {{data: {{}}}}\n"
        )
    };
    let project = Project::with(engine, &text("a/b"))?;
    project.compose(&["up", "-d"])?.ok()?;
    let script = "mkdir -p /data/a/b; echo part > /data/a/b/file; ln -s / /data/out; ln -s a /data/in";
    project.compose(&["exec", "-T", "all", "sh", "-c", script])?.ok()?;
    if engine.name == "docker20" {
        project.compose(&["up", "-d", "part"])?.exits(1)?.says("needs Docker Engine")?;
        return Ok(());
    }
    let file = ["exec", "-T", "part", "cat", "/part/file"];
    project.compose(&["up", "-d", "part"])?.ok()?;
    ensure_eq!(project.compose(&file)?.ok()?.stdout, "part\n", "the part");
    project.compose(&["restart", "part"])?.ok()?;
    ensure_eq!(project.compose(&file)?.ok()?.stdout, "part\n", "the part after a restart");
    project.write("compose.yaml", &text("in/b"))?;
    project.compose(&["up", "-d", "part"])?.ok()?;
    ensure_eq!(project.compose(&file)?.ok()?.stdout, "part\n", "the part by a link inside");
    project.write("compose.yaml", &text("out/etc"))?;
    project.compose(&["up", "-d", "part"])?.exits(1)?.says("etc")?;
    project.write("compose.yaml", &text("missing"))?;
    project.compose(&["up", "-d", "part"])?.exits(1)?.says("missing")?;
    project.compose(&["--profile", "later", "down", "-v"])?.ok()?;
    ensure_eq!(engine.volumes(&project.name)?, Vec::<String>::new(), "volumes at the end");
    Ok(())
}

fn images_are_mounted(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n    volumes:\n      - {type: \
         image, source: busybox, target: /image}\n  part:\n    image: busybox\n    command: sleep 1000\n    stop_signal: \
         SIGKILL\n    volumes:\n      - {type: image, source: busybox, target: /bins, image: {subpath: bin}}\n",
    )?;
    if refused_by_an_old_engine(engine, &project)? {
        return Ok(());
    }
    project.compose(&["up", "-d"])?.ok()?;
    let list = |service: &str, path: &str| project.compose(&["exec", "-T", service, "ls", path]);
    let own = list("web", "/bin")?.ok()?.stdout;
    ensure_eq!(list("web", "/image/bin")?.ok()?.stdout, own, "the image's file system");
    ensure_eq!(list("part", "/bins")?.ok()?.stdout, own, "a part of the image");
    let written = project.compose(&["exec", "-T", "web", "touch", "/image/file"])?;
    ensure!(written.code != 0, "the mounted image is writable");
    project.compose(&["restart"])?.ok()?;
    list("part", "/bins/busybox")?.ok()?;
    project.compose(&["down"])?.ok()?;
    Ok(())
}
