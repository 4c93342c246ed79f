//! Docker Compose and this program take over each other's projects.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Reference:
    projects_of_the_reference_are_left_alone_and_removed,
    our_projects_are_left_alone_by_the_reference_and_removed,
    files_of_every_kind_change_hands_without_a_recreation,
    the_applications_of_the_chapter_change_hands_without_a_recreation,
}

const MIXED: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: {LOG: info}
    ports: ['80']
    depends_on: {db: {condition: service_healthy, restart: true}}
    labels: {owner: me}
    networks: {front: {aliases: [site]}, back: {}}
    scale: 2
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: 'true', interval: 200ms}
    volumes: ['data:/data', './conf:/conf:ro', '/scratch']
    networks: [back]
    deploy: {resources: {limits: {memory: 64m}}}
    secrets: [token]
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
secrets:
  token: {file: ./token}
";

fn identities(project: &Project) -> Result<Vec<(String, String, String)>, String> {
    Ok(project.containers()?.into_iter().map(|found| (found.name, found.id, found.started_at)).collect())
}

fn mixed(engine: &Engine) -> Result<Project, String> {
    let project = Project::with(engine, MIXED)?;
    project.write("token", "t")?;
    project.write("conf/file", "c")?;
    Ok(project)
}

fn projects_of_the_reference_are_left_alone_and_removed(engine: &Engine) -> CaseResult {
    let project = mixed(engine)?;
    project.reference(&["up", "-d"])?.ok()?;
    let before = identities(&project)?;
    ensure_eq!(before.len(), 3, "containers");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(identities(&project)?, before, "after our `up`");
    let run = project.compose(&["ps", "--format", "json"])?.ok()?;
    ensure_eq!(run.stdout.lines().count(), 3, "lines of our `ps`");
    project.compose(&["down", "-v"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "after our `down`");
    ensure_eq!(engine.networks(&project.name)?, Vec::<String>::new(), "networks");
    ensure_eq!(engine.volumes(&project.name)?, Vec::<String>::new(), "volumes");
    Ok(())
}

fn our_projects_are_left_alone_by_the_reference_and_removed(engine: &Engine) -> CaseResult {
    let project = mixed(engine)?;
    project.compose(&["up", "-d"])?.ok()?;
    let before = identities(&project)?;
    let run = project.reference(&["up", "-d"])?.ok()?;
    ensure_eq!(identities(&project)?, before, "after the reference's `up`");
    ensure!(!run.stderr.contains("Recreate"), "the reference recreates: {run}");
    project.reference(&["down", "-v"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "after the reference's `down`");
    Ok(())
}

/// Small files with attributes of one theme each; `RUNS` is a service that goes on.
const THEMES: [(&str, &str); 6] = [
    (
        "networks",
        "
services:
  a: {RUNS, networks: {front: {aliases: [site], priority: 10}, back: {}}, hostname: host-a, extra_hosts: ['x:1.2.3.4'], dns: 9.9.9.9}
  b: {RUNS, network_mode: 'service:a'}
  c: {RUNS, links: ['a:first'], networks: [back], expose: ['91-92'], ports: ['80', '127.0.0.1::81/udp']}
networks: {front: {driver_opts: {com.docker.network.bridge.enable_icc: 'true'}, labels: {l: m}}, back: {internal: true}}
",
    ),
    (
        "files",
        "
services:
  a:
    RUNS
    volumes: ['data:/data', './conf:/conf:ro', /scratch, {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0o700}}]
    configs: [{source: page, target: /page, mode: 0440}, inline]
    secrets: [token, {source: variable, target: other}]
    tmpfs: ['/run:size=1m']
    env_file: [{path: ./a.env}, {path: ./none.env, required: false}]
configs: {page: {file: ./conf/file}, inline: {content: hello}}
secrets: {token: {file: ./conf/file}, variable: {environment: FROM_DOTENV}}
volumes: {data: {labels: {l: m}}}
",
    ),
    (
        "limits",
        "
services:
  a:
    RUNS
    deploy: {resources: {limits: {memory: 64m, cpus: '0.5', pids: 50}, reservations: {memory: 32m}}, labels: {not: ours}}
    ulimits: {nofile: {soft: 100, hard: 200}, nproc: 64}
    sysctls: {net.core.somaxconn: 1024}
    shm_size: 32m
    oom_score_adj: 100
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    security_opt: ['no-new-privileges:true']
    devices: ['/dev/null:/dev/nothing']
    group_add: ['1']
    init: true
    read_only: true
    user: '1:1'
    logging: {driver: json-file, options: {max-size: 1m}}
  b: {RUNS, mem_limit: 64m, cpus: 0.25, cpu_shares: 100, pids_limit: 40, blkio_config: {weight: 300}, ipc: shareable}
  c: {RUNS, ipc: 'service:b', pid: 'service:b'}
",
    ),
    (
        "dependencies",
        "
services:
  a: {RUNS, depends_on: {b: {condition: service_healthy, restart: true}, c: {condition: service_started, required: false}}}
  b: {RUNS, healthcheck: {test: 'true', interval: 200ms, timeout: 5s, retries: 5, start_period: 10s}}
  c: {RUNS, healthcheck: {disable: true}, restart: unless-stopped, stop_grace_period: 1m30s}
",
    ),
    (
        "names",
        "
name: ignored
x-base: &base {RUNS, environment: {A: '1', B: null, C: $$literal, D: '${FROM_DOTENV}'}}
services:
  a: {<<: *base, scale: 3, labels: [one, 'two=2', 'three=${FROM_DOTENV:-x}'], annotations: {note: text}}
  b: {<<: *base, deploy: {replicas: 2}, profiles: []}
  c: {extends: a, scale: 1, working_dir: /tmp, tty: true, stdin_open: true}
  d: {RUNS, profiles: [never]}
",
    ),
    (
        "hooks",
        "
services:
  a:
    RUNS
    volumes: ['data:/data']
    pre_start: [{command: [touch, /data/prepared]}]
    post_start: [{command: [touch, /ready]}]
    pre_stop: [{command: [rm, -f, /ready]}]
volumes: {data: {}}
",
    ),
];

/// The file of a theme: `RUNS` alone on a line in block style, or within braces.
fn theme(text: &str) -> String {
    let block = text.replace("    RUNS\n", "    image: busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n");
    block.replace("RUNS", "image: busybox, command: sleep 1000, stop_signal: SIGKILL")
}

/// The same project made by one program, looked at, left alone and removed by the other; both ways.
fn changes_hands(project: &Project, what: &str) -> CaseResult {
    let containers = || identities(project);
    project.reference(&["up", "-d"])?.ok()?;
    let theirs = containers()?;
    ensure!(!theirs.is_empty(), "{what}: the reference made nothing");
    let listed = |run: &compose_tests::Run| {
        let mut names: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    let names = ["ps", "-a", "--format", "{{.Name}} {{.State}} {{.Service}} {{.Image}} {{.Ports}}"];
    ensure_eq!(
        listed(&project.compose(&names)?.ok()?),
        listed(&project.reference(&names)?.ok()?),
        "{what}: containers in both lists"
    );
    project.compose(&["plan", "--exit-code"])?.ok().map_err(|error| format!("{what}: our plan: {error}"))?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(containers()?, theirs, "{what}: after our `up`");
    project.compose(&["stop", "-t", "0"])?.ok()?;
    project.compose(&["down", "-v"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "{what}: after our `down`");
    project.compose(&["up", "-d"])?.ok()?;
    let ours = containers()?;
    let made: Vec<&String> = theirs.iter().map(|(name, ..)| name).collect();
    ensure_eq!(ours.iter().map(|(name, ..)| name).collect::<Vec<_>>(), made, "{what}: names");
    let run = project.reference(&["up", "-d"])?.ok()?;
    ensure_eq!(containers()?, ours, "{what}: after the reference's `up`: {run}");
    project.reference(&["stop", "-t", "0"])?.ok()?;
    project.reference(&["down", "-v"])?.ok()?;
    ensure_eq!(project.states()?, vec![], "{what}: after the reference's `down`");
    ensure_eq!(project.engine.networks(&project.name)?, Vec::<String>::new(), "{what}: networks");
    ensure_eq!(project.engine.volumes(&project.name)?, Vec::<String>::new(), "{what}: volumes");
    Ok(())
}

fn files_of_every_kind_change_hands_without_a_recreation(engine: &Engine) -> CaseResult {
    let mut project = Project::new(engine)?;
    project.write("conf/file", "c")?;
    project.write("a.env", "E=one\nF='two three'\n")?;
    project.write(".env", "FROM_DOTENV=yes\n")?;
    let name = project.name.clone();
    project.set("COMPOSE_PROJECT_NAME", &name);
    for (what, text) in THEMES {
        project.write("compose.yaml", &theme(text))?;
        changes_hands(&project, what)?;
    }
    Ok(())
}

fn the_applications_of_the_chapter_change_hands_without_a_recreation(engine: &Engine) -> CaseResult {
    let _alone = engine.alone("chapter")?;
    // One that another case has left serves as well.
    engine.docker(&["network", "create", "nat"]).or_else(|_| engine.docker(&["network", "inspect", "nat"]))?;
    let folders = ["1-external-network", "3-replicas", "5-restart-and-data"];
    let outcome = folders.into_iter().try_for_each(|folder| {
        let project = Project::copy_of(engine, &format!("examples/{folder}"))?;
        changes_hands(&project, folder)
    });
    let removed = engine.docker(&["network", "rm", "nat"]);
    outcome.and(removed.map(drop))
}
