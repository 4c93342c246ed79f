//! The plans that are interrupted: a table of commands, over files that change in a line or two.

/// A command on a project, and the one that has to put things right.
pub(crate) struct Plan {
    /// A sentence.
    pub(crate) name: &'static str,
    /// The Compose file.
    file: &'static str,
    /// What is replaced in it before the command: text and new text.
    change: Option<(&'static str, &'static str)>,
    /// Whether everything has been started with the file before the change.
    pub(crate) started: bool,
    /// The command that is killed.
    command: &'static str,
    /// The command that follows; empty for the same `up` without what is only asked for once.
    recover: &'static str,
}

impl Plan {
    /// The Compose file at first.
    pub(crate) fn before(&self) -> String {
        self.file.replace("RUNS", "image: busybox, command: sleep 1000, stop_signal: SIGKILL")
    }

    /// The Compose file afterwards.
    ///
    /// # Panics
    /// When the table is wrong: what is to be changed is not in the file.
    pub(crate) fn after(&self) -> String {
        let before = self.before();
        let Some((old, new)) = self.change else { return before };
        assert!(before.contains(old), "{}: {old:?} is not in its file", self.name);
        before.replace(old, new)
    }

    /// The command that is killed.
    pub(crate) fn command(&self) -> Vec<&'static str> {
        self.command.split(' ').collect()
    }

    /// The command that follows.
    pub(crate) fn recover(&self) -> Vec<&'static str> {
        let line = if self.recover.is_empty() { "up -d" } else { self.recover };
        line.split(' ').collect()
    }
}

const SHOP: &str = "
services:
  db: {RUNS, volumes: [data:/data], healthcheck: {test: 'true', interval: 200ms}, labels: {generation: one}}
  web:
    {RUNS, environment: {LOG: info}, configs: [{source: page, target: /page, mode: 0440}],
     depends_on: {db: {condition: service_healthy}}, networks: [default, back], labels: {generation: one}}
configs: {page: {content: hello}}
networks: {back: {}}
volumes: {data: {}}
";

const REPLICAS: &str = "
services:
  web: {RUNS, scale: 4, volumes: [/cache]}
";

const NETWORK: &str = "
services:
  a: {RUNS, networks: [front, back]}
  b: {RUNS, networks: {front: {aliases: [bee]}}}
networks:
  front: {labels: {generation: one}}
  back: {}
";

const VOLUME: &str = "
services:
  a: {RUNS, network_mode: none, volumes: [data:/data]}
  b: {RUNS, network_mode: none, volumes: [data:/data]}
volumes:
  data: {labels: {generation: one}}
";

const JOBS: &str = "
services:
  first: {image: busybox, command: 'true', network_mode: none}
  second:
    {image: busybox, command: 'true', network_mode: none,
     depends_on: {first: {condition: service_completed_successfully}}}
  web: {RUNS, network_mode: none, depends_on: {second: {condition: service_completed_successfully}}}
";

const HOOKS: &str = "
services:
  web:
    {RUNS, network_mode: none, volumes: [data:/data], labels: {generation: one},
     pre_start: [{command: [touch, /data/prepared]}],
     post_start: [{command: [touch, /ready]}],
     pre_stop: [{command: [rm, -f, /ready]}]}
volumes: {data: {}}
";

const ORPHANS: &str = "
services:
  web: {RUNS}
  old: {RUNS, scale: 2}
  gone: {RUNS}
";

const SHARING: &str = "
services:
  main: {RUNS, labels: {generation: one}}
  side: {RUNS, network_mode: 'service:main'}
";

const RESTARTING: &str = "
services:
  db: {RUNS, network_mode: none, labels: {generation: one}}
  web: {RUNS, network_mode: none, depends_on: {db: {condition: service_started, restart: true}}}
";

const ONCE: &str = "
services:
  db: {RUNS}
  tool: {image: busybox, command: 'true', depends_on: [db], profiles: [tools]}
";

const NEW_LABEL: Option<(&str, &str)> = Some(("generation: one", "generation: two"));
const ONE_REPLICA: Option<(&str, &str)> = Some(("scale: 4", "scale: 1"));
const FEWER_AND_CHANGED: Option<(&str, &str)> = Some(("scale: 4", "environment: {A: two}, scale: 2"));
const WITHOUT_ORPHANS: Option<(&str, &str)> = Some((
    "  old: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, scale: 2}\n  gone: {image: busybox, command: sleep \
     1000, stop_signal: SIGKILL}\n",
    "",
));

/// Whether the project runs before the command.
const FRESH: bool = false;
const RUNNING: bool = true;

type Row = (&'static str, &'static str, Option<(&'static str, &'static str)>, bool, &'static str, &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("fresh_up",                       SHOP,       None,              FRESH,   "up -d", ""),
    ("fresh_up_of_replicas",           REPLICAS,   None,              FRESH,   "up -d", ""),
    ("create",                         SHOP,       None,              FRESH,   "create", ""),
    ("recreate_after_a_change",        SHOP,       NEW_LABEL,         RUNNING, "up -d", ""),
    ("force_recreate",                 REPLICAS,   None,              RUNNING, "up -d --force-recreate", ""),
    ("recreate_with_fresh_volumes",    REPLICAS,   None,              RUNNING, "up -d --force-recreate -V", ""),
    ("fresh_volumes",                  REPLICAS,   None,              RUNNING, "up -d -V", ""),
    ("scale_up",                       REPLICAS,   None,              RUNNING, "scale web=6", "scale web=6"),
    ("scale_down",                     REPLICAS,   ONE_REPLICA,       RUNNING, "up -d", ""),
    ("change_and_scale_down",          REPLICAS,   FEWER_AND_CHANGED, RUNNING, "up -d", ""),
    ("network_change",                 NETWORK,    NEW_LABEL,         RUNNING, "up -d", ""),
    ("volume_change",                  VOLUME,     NEW_LABEL,         RUNNING, "up -d -y", "up -d -y"),
    ("down",                           SHOP,       None,              RUNNING, "down", ""),
    ("down_with_volumes",              SHOP,       None,              RUNNING, "down -v", ""),
    ("down_twice",                     SHOP,       None,              RUNNING, "down -v", "down -v"),
    ("jobs",                           JOBS,       None,              FRESH,   "up -d", ""),
    ("jobs_again",                     JOBS,       None,              RUNNING, "up -d", ""),
    ("hooks",                          HOOKS,      None,              FRESH,   "up -d", ""),
    ("hooks_in_a_replacement",         HOOKS,      NEW_LABEL,         RUNNING, "up -d", ""),
    ("orphans",                        ORPHANS,    WITHOUT_ORPHANS,   RUNNING, "up -d --remove-orphans", "up -d --remove-orphans"),
    ("shared_namespaces",              SHARING,    NEW_LABEL,         RUNNING, "up -d", ""),
    ("restart_of_dependents",          RESTARTING, NEW_LABEL,         RUNNING, "up -d", ""),
    ("stop",                           SHOP,       None,              RUNNING, "stop", ""),
    ("restart",                        SHOP,       None,              RUNNING, "restart", ""),
    ("kill",                           SHOP,       None,              RUNNING, "kill", ""),
    ("remove",                         SHOP,       None,              RUNNING, "rm -s -f", ""),
    ("one_off",                        ONCE,       None,              FRESH,   "run --rm -T tool echo hi", ""),
];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = Plan> {
    ROWS.iter().map(|&(name, file, change, started, command, recover)| Plan {
        name,
        file,
        change,
        started,
        command,
        recover,
    })
}
