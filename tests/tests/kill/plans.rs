//! The plans that are interrupted.

/// A command on a project, and the one that has to put things right.
pub(crate) struct Plan {
    /// A sentence.
    pub(crate) name: &'static str,
    /// The Compose file at first.
    pub(crate) before: &'static str,
    /// What is run with it.
    pub(crate) setup: &'static [&'static [&'static str]],
    /// The Compose file afterwards, where it changes.
    pub(crate) after: Option<&'static str>,
    /// The command that is killed.
    pub(crate) command: &'static [&'static str],
    /// The command that follows.
    pub(crate) recover: &'static [&'static str],
}

/// The usual one.
const UP: Plan =
    Plan { name: "", before: "", setup: &[&["up", "-d"]], after: None, command: &["up", "-d"], recover: &["up", "-d"] };

const SHOP: &str = "
services:
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: [data:/data]
    healthcheck: {test: 'true', interval: 200ms}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: {LOG: info}
    configs: [{source: page, target: /page, mode: 0440}]
    depends_on: {db: {condition: service_healthy}}
    networks: [default, back]
configs: {page: {content: hello}}
networks: {back: {}}
volumes: {data: {}}
";

const SHOP_CHANGED: &str = "
services:
  db:
    image: busybox
    command: sleep 1001
    stop_signal: SIGKILL
    volumes: [data:/data]
    healthcheck: {test: 'true', interval: 200ms}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: {LOG: debug}
    configs: [{source: page, target: /page, mode: 0440}]
    depends_on: {db: {condition: service_healthy}}
    networks: [default, back]
configs: {page: {content: hello}}
networks: {back: {}}
volumes: {data: {}}
";

const ONE: &str = "
services:
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, scale: 1, volumes: [/cache]}
";
const FOUR: &str = "
services:
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, scale: 4, volumes: [/cache]}
";
const TWO_CHANGED: &str = "
services:
  web: {image: busybox, command: sleep 1001, stop_signal: SIGKILL, scale: 2, volumes: [/cache]}
";

const NETWORK: &str = "
services:
  a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, networks: [front, back]}
  b: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, networks: {front: {aliases: [bee]}}}
networks:
  front: {labels: {generation: one}}
  back: {}
";
const NETWORK_CHANGED: &str = "
services:
  a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, networks: [front, back]}
  b: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, networks: {front: {aliases: [bee]}}}
networks:
  front: {labels: {generation: two}}
  back: {}
";

const VOLUME: &str = "
services:
  a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: none, volumes: [data:/data]}
  b: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: none, volumes: [data:/data]}
volumes:
  data: {labels: {generation: one}}
";
const VOLUME_CHANGED: &str = "
services:
  a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: none, volumes: [data:/data]}
  b: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: none, volumes: [data:/data]}
volumes:
  data: {labels: {generation: two}}
";

const JOBS: &str = "
services:
  first: {image: busybox, command: 'true', network_mode: none}
  second:
    image: busybox
    command: 'true'
    network_mode: none
    depends_on: {first: {condition: service_completed_successfully}}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    depends_on: {second: {condition: service_completed_successfully}}
";

const HOOKS: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    volumes: [data:/data]
    pre_start: [{command: [touch, /data/prepared]}]
    post_start: [{command: [touch, /ready]}]
    pre_stop: [{command: [rm, -f, /ready]}]
volumes: {data: {}}
";
const HOOKS_CHANGED: &str = "
services:
  web:
    image: busybox
    command: sleep 1001
    stop_signal: SIGKILL
    network_mode: none
    volumes: [data:/data]
    pre_start: [{command: [touch, /data/prepared]}]
    post_start: [{command: [touch, /ready]}]
    pre_stop: [{command: [rm, -f, /ready]}]
volumes: {data: {}}
";

const ORPHANS: &str = "
services:
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
  old: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, scale: 2}
  gone: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
";
const WITHOUT_ORPHANS: &str = "
services:
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
";

const SHARING: &str = "
services:
  main: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, environment: {A: one}}
  side: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: 'service:main'}
";
const SHARING_CHANGED: &str = "
services:
  main: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, environment: {A: two}}
  side: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, network_mode: 'service:main'}
";

const RESTARTING: &str = "
services:
  db: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, environment: {A: one}, network_mode: none}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    depends_on: {db: {condition: service_started, restart: true}}
";
const RESTARTING_CHANGED: &str = "
services:
  db: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, environment: {A: two}, network_mode: none}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: none
    depends_on: {db: {condition: service_started, restart: true}}
";

const ONCE: &str = "
services:
  db: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
  tool: {image: busybox, command: 'true', depends_on: [db], profiles: [tools]}
";

/// All of them.
pub(crate) const PLANS: &[Plan] = &[
    Plan { name: "fresh_up", before: SHOP, setup: &[], ..UP },
    Plan { name: "fresh_up_of_replicas", before: FOUR, setup: &[], ..UP },
    Plan { name: "create", before: SHOP, setup: &[], command: &["create"], ..UP },
    Plan { name: "recreate_after_a_change", before: SHOP, after: Some(SHOP_CHANGED), ..UP },
    Plan { name: "force_recreate", before: FOUR, command: &["up", "-d", "--force-recreate"], ..UP },
    Plan {
        name: "force_recreate_with_fresh_anonymous_volumes",
        before: FOUR,
        command: &["up", "-d", "--force-recreate", "-V"],
        ..UP
    },
    Plan { name: "scale_up", before: ONE, after: Some(FOUR), ..UP },
    Plan { name: "scale_down", before: FOUR, after: Some(ONE), ..UP },
    Plan { name: "change_and_scale_down", before: FOUR, after: Some(TWO_CHANGED), ..UP },
    Plan { name: "network_change", before: NETWORK, after: Some(NETWORK_CHANGED), ..UP },
    Plan {
        name: "volume_change",
        before: VOLUME,
        after: Some(VOLUME_CHANGED),
        command: &["up", "-d", "-y"],
        recover: &["up", "-d", "-y"],
        ..UP
    },
    Plan { name: "down", before: SHOP, command: &["down"], ..UP },
    Plan { name: "down_with_volumes", before: SHOP, command: &["down", "-v"], ..UP },
    Plan { name: "down_twice", before: SHOP, command: &["down", "-v"], recover: &["down", "-v"], ..UP },
    Plan { name: "jobs", before: JOBS, setup: &[], ..UP },
    Plan { name: "jobs_again", before: JOBS, ..UP },
    Plan { name: "hooks", before: HOOKS, setup: &[], ..UP },
    Plan { name: "hooks_in_a_replacement", before: HOOKS, after: Some(HOOKS_CHANGED), ..UP },
    Plan {
        name: "orphans",
        before: ORPHANS,
        after: Some(WITHOUT_ORPHANS),
        command: &["up", "-d", "--remove-orphans"],
        recover: &["up", "-d", "--remove-orphans"],
        ..UP
    },
    Plan { name: "shared_namespaces", before: SHARING, after: Some(SHARING_CHANGED), ..UP },
    Plan { name: "restart_of_dependents", before: RESTARTING, after: Some(RESTARTING_CHANGED), ..UP },
    Plan { name: "stop", before: SHOP, command: &["stop"], ..UP },
    Plan { name: "restart", before: SHOP, command: &["restart"], ..UP },
    Plan { name: "remove", before: SHOP, command: &["rm", "-s", "-f"], ..UP },
    Plan { name: "one_off", before: ONCE, setup: &[], command: &["run", "--rm", "-T", "tool", "echo", "hi"], ..UP },
];
