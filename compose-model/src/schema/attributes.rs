//! The table of all attributes.

use super::{Names, Object, Pattern, Shape, Type};

const TEXT: Shape = Shape::Scalar(&[Type::Text]);
const FLAG: Shape = Shape::Scalar(&[Type::Boolean, Type::Text]);
const STRICT_FLAG: Shape = Shape::Scalar(&[Type::Boolean]);
const WHOLE: Shape = Shape::Scalar(&[Type::Integer, Type::Text]);
const STRICT_WHOLE: Shape = Shape::Scalar(&[Type::Integer]);
const NUMBER: Shape = Shape::Scalar(&[Type::Number, Type::Text]);
const STRICT_NUMBER: Shape = Shape::Scalar(&[Type::Number]);
const TEXTS: Shape = Shape::List { items: &TEXT, unique: false };
const UNIQUE_TEXTS: Shape = Shape::List { items: &TEXT, unique: true };
const TEXT_OR_TEXTS: Shape = Shape::OneOf(&[TEXT, UNIQUE_TEXTS]);
const TEXT_OR_LIST: Shape = Shape::OneOf(&[TEXT, TEXTS]);
const VALUE: Shape = Shape::Scalar(&[Type::Boolean, Type::Null, Type::Number, Type::Text, Type::Date]);
const OPTION: Shape = Shape::Scalar(&[Type::Number, Type::Text, Type::Date]);
const MAP_OR_LIST: Shape = Shape::OneOf(&[Shape::Object(&VALUES), UNIQUE_TEXTS]);
const OPTIONS: Shape = Shape::Object(&NUMBERS_AND_TEXTS);
const COMMAND: Shape = Shape::OneOf(&[Shape::Scalar(&[Type::Null]), TEXT, TEXTS]);

static VALUES: Object = Object { names: (Names::Any, &VALUE), extensions: false, ..Object::EMPTY };
static NUMBERS_AND_TEXTS: Object = Object { names: (Names::Open, &OPTION), extensions: false, ..Object::EMPTY };
static TEXT_BY_NAME: Object = Object { names: (Names::Any, &TEXT), extensions: false, ..Object::EMPTY };
static FREE: Object = Object { names: (Names::Open, &Shape::Any), extensions: false, ..Object::EMPTY };

/// `services`.
static SERVICES: Object =
    Object { names: (Names::Resource, &Shape::Object(&SERVICE)), extensions: false, ..Object::EMPTY };

/// `jobs`.
static JOBS: Object = Object { names: (Names::Resource, &Shape::Object(&JOB)), extensions: false, ..Object::EMPTY };

/// `networks`.
static NETWORKS: Object =
    Object { names: (Names::Resource, &Shape::Object(&NETWORK)), extensions: false, ..Object::EMPTY };

/// `volumes`.
static VOLUMES: Object =
    Object { names: (Names::Resource, &Shape::Object(&VOLUME)), extensions: false, ..Object::EMPTY };

/// `secrets`.
static SECRETS: Object =
    Object { names: (Names::Resource, &Shape::Object(&SECRET)), extensions: false, ..Object::EMPTY };

/// `configs`.
static CONFIGS: Object =
    Object { names: (Names::Resource, &Shape::Object(&CONFIG)), extensions: false, ..Object::EMPTY };

/// `models`.
static MODELS: Object = Object { names: (Names::Resource, &Shape::Object(&MODEL)), extensions: false, ..Object::EMPTY };

/// The top level of a file.
pub static PROJECT: Object = Object {
    fields: &[
        ("version", TEXT),
        ("name", TEXT),
        ("include", INCLUDES),
        ("services", Shape::Object(&SERVICES)),
        ("jobs", Shape::Object(&JOBS)),
        ("networks", Shape::Object(&NETWORKS)),
        ("volumes", Shape::Object(&VOLUMES)),
        ("secrets", Shape::Object(&SECRETS)),
        ("configs", Shape::Object(&CONFIGS)),
        ("models", Shape::Object(&MODELS)),
    ],
    ..Object::EMPTY
};

/// `include`. Read, checked and taken out before the rest is checked; here for the JSON Schema.
const INCLUDES: Shape = Shape::List { items: &Shape::OneOf(&[TEXT, Shape::Object(&INCLUDE)]), unique: false };

/// One entry of `include`, long form.
static INCLUDE: Object = Object {
    fields: &[("path", TEXT_OR_LIST), ("project_directory", TEXT), ("env_file", TEXT_OR_LIST)],
    required: &["path"],
    extensions: false,
    ..Object::EMPTY
};

/// Attributes of everything that becomes a container: services, jobs, `pre_start` hooks.
pub(super) static CONTAINER: Object = Object {
    fields: &[
        ("annotations", MAP_OR_LIST),
        ("environment", MAP_OR_LIST),
        ("labels", MAP_OR_LIST),
        ("sysctls", MAP_OR_LIST),
        ("blkio_config", Shape::Object(&BLKIO)),
        ("cap_add", UNIQUE_TEXTS),
        ("cap_drop", UNIQUE_TEXTS),
        ("dns_opt", UNIQUE_TEXTS),
        ("security_opt", UNIQUE_TEXTS),
        ("volumes_from", UNIQUE_TEXTS),
        ("device_cgroup_rules", UNIQUE_TEXTS),
        ("cgroup", Shape::Words(&["host", "private"])),
        ("cgroup_parent", TEXT),
        ("cpuset", TEXT),
        ("domainname", TEXT),
        ("hostname", TEXT),
        ("image", TEXT),
        ("ipc", TEXT),
        ("isolation", TEXT),
        ("mac_address", TEXT),
        ("network_mode", TEXT),
        ("platform", TEXT),
        ("pull_refresh_after", TEXT),
        ("runtime", TEXT),
        ("stop_grace_period", TEXT),
        ("stop_signal", TEXT),
        ("user", TEXT),
        ("uts", TEXT),
        ("userns_mode", TEXT),
        ("working_dir", TEXT),
        ("command", COMMAND),
        ("entrypoint", COMMAND),
        ("configs", FILE_REFERENCES),
        ("secrets", FILE_REFERENCES),
        ("cpu_count", Shape::Range(0, i64::MAX)),
        ("cpu_percent", Shape::Range(0, 100)),
        ("oom_score_adj", Shape::Range(-1000, 1000)),
        ("cpu_shares", NUMBER),
        ("cpu_quota", NUMBER),
        ("cpu_period", NUMBER),
        ("cpu_rt_period", NUMBER),
        ("cpu_rt_runtime", NUMBER),
        ("cpus", NUMBER),
        ("mem_limit", NUMBER),
        ("memswap_limit", NUMBER),
        ("pids_limit", NUMBER),
        ("shm_size", NUMBER),
        ("mem_reservation", WHOLE),
        ("mem_swappiness", WHOLE),
        ("credential_spec", Shape::Object(&CREDENTIAL_SPEC)),
        ("devices", Shape::List { items: &Shape::OneOf(&[TEXT, Shape::Object(&DEVICE)]), unique: false }),
        ("dns", TEXT_OR_TEXTS),
        ("dns_search", TEXT_OR_TEXTS),
        ("tmpfs", TEXT_OR_TEXTS),
        (
            "env_file",
            Shape::OneOf(&[
                TEXT,
                Shape::List { items: &Shape::OneOf(&[TEXT, Shape::Object(&ENV_FILE)]), unique: false },
            ]),
        ),
        ("label_file", TEXT_OR_LIST),
        ("extra_hosts", EXTRA_HOSTS),
        ("gpus", Shape::OneOf(&[Shape::Words(&["all"]), Shape::List { items: &Shape::Object(&GPU), unique: false }])),
        ("group_add", Shape::List { items: &NUMBER, unique: true }),
        ("init", FLAG),
        ("oom_kill_disable", FLAG),
        ("privileged", FLAG),
        ("read_only", FLAG),
        ("use_api_socket", STRICT_FLAG),
        ("logging", Shape::Object(&LOGGING)),
        ("models", Shape::OneOf(&[UNIQUE_TEXTS, Shape::Object(&SERVICE_MODELS)])),
        ("networks", Shape::OneOf(&[UNIQUE_TEXTS, Shape::Object(&SERVICE_NETWORKS)])),
        ("pid", Shape::Scalar(&[Type::Null, Type::Text])),
        ("pull_policy", Shape::Pattern(PULL_POLICY)),
        ("storage_opt", Shape::Object(&FREE)),
        ("ulimits", Shape::Object(&ULIMITS)),
        ("volumes", Shape::List { items: &Shape::OneOf(&[TEXT, Shape::Object(&MOUNT)]), unique: true }),
    ],
    ..Object::EMPTY
};

/// Attributes that services and jobs share.
static WORKLOAD: Object = Object {
    fields: &[
        ("build", Shape::OneOf(&[TEXT, Shape::Object(&BUILD)])),
        ("depends_on", Shape::OneOf(&[UNIQUE_TEXTS, Shape::Object(&DEPENDENCIES)])),
        ("healthcheck", Shape::Object(&HEALTHCHECK)),
        (
            "ports",
            Shape::List {
                items: &Shape::OneOf(&[Shape::Scalar(&[Type::Number]), TEXT, Shape::Object(&PORT)]),
                unique: true,
            },
        ),
        ("expose", Shape::List { items: &NUMBER, unique: true }),
        ("stdin_open", FLAG),
        ("tty", FLAG),
    ],
    ..Object::EMPTY
};

/// A service.
static SERVICE: Object = Object {
    fields: &[
        ("deploy", Shape::Object(&DEPLOY)),
        ("develop", Shape::Object(&DEVELOP)),
        ("profiles", UNIQUE_TEXTS),
        ("restart", TEXT),
        ("scale", WHOLE),
        ("attach", FLAG),
        ("container_name", Shape::Pattern(CONTAINER_NAME)),
        ("provider", Shape::Object(&PROVIDER)),
        ("extends", Shape::OneOf(&[TEXT, Shape::Object(&EXTENDS)])),
        ("links", UNIQUE_TEXTS),
        ("external_links", UNIQUE_TEXTS),
        ("pre_start", Shape::List { items: &Shape::Object(&PRE_START), unique: false }),
        ("post_start", Shape::List { items: &Shape::Object(&HOOK), unique: false }),
        ("pre_stop", Shape::List { items: &Shape::Object(&HOOK), unique: false }),
    ],
    shared: &[&CONTAINER, &WORKLOAD],
    composed: true,
    ..Object::EMPTY
};

/// A job.
static JOB: Object = Object {
    fields: &[("profiles", UNIQUE_TEXTS), ("triggers", Shape::Object(&TRIGGERS))],
    shared: &[&CONTAINER, &WORKLOAD],
    composed: true,
    required: &["triggers"],
    ..Object::EMPTY
};

/// A `pre_start` hook.
static PRE_START: Object =
    Object { fields: &[("per_replica", FLAG)], shared: &[&CONTAINER], composed: true, ..Object::EMPTY };

/// `triggers` of a job.
static TRIGGERS: Object = Object {
    fields: &[
        ("manual", FLAG),
        ("schedule", Shape::List { items: &Shape::OneOf(&[TEXT, Shape::Object(&SCHEDULE)]), unique: false }),
    ],
    any_of: &["manual", "schedule"],
    ..Object::EMPTY
};

/// One schedule of a job.
static SCHEDULE: Object = Object {
    fields: &[
        ("cron", TEXT),
        ("timezone", TEXT),
        ("concurrency", Shape::Words(&["forbid", "queue"])),
        ("missed_fires", Shape::Words(&["one", "skip"])),
    ],
    required: &["cron"],
    ..Object::EMPTY
};

/// `extends`, long form.
static EXTENDS: Object =
    Object { fields: &[("service", TEXT), ("file", TEXT)], required: &["service"], extensions: false, ..Object::EMPTY };

/// `blkio_config`.
static BLKIO: Object = Object {
    fields: &[
        ("weight", WHOLE),
        ("weight_device", Shape::List { items: &Shape::Object(&DEVICE_WEIGHT), unique: false }),
        ("device_read_bps", Shape::List { items: &Shape::Object(&DEVICE_LIMIT), unique: false }),
        ("device_read_iops", Shape::List { items: &Shape::Object(&DEVICE_LIMIT), unique: false }),
        ("device_write_bps", Shape::List { items: &Shape::Object(&DEVICE_LIMIT), unique: false }),
        ("device_write_iops", Shape::List { items: &Shape::Object(&DEVICE_LIMIT), unique: false }),
    ],
    extensions: false,
    ..Object::EMPTY
};

/// A device and its weight.
static DEVICE_WEIGHT: Object =
    Object { fields: &[("path", TEXT), ("weight", WHOLE)], extensions: false, ..Object::EMPTY };

/// A device and its limit.
static DEVICE_LIMIT: Object = Object { fields: &[("path", TEXT), ("rate", WHOLE)], extensions: false, ..Object::EMPTY };

/// `credential_spec`.
static CREDENTIAL_SPEC: Object =
    Object { fields: &[("config", TEXT), ("file", TEXT), ("registry", TEXT)], ..Object::EMPTY };

/// One of `devices`, long form.
static DEVICE: Object = Object {
    fields: &[("source", TEXT), ("target", TEXT), ("permissions", TEXT)],
    required: &["source"],
    ..Object::EMPTY
};

/// One of `env_file`, long form.
static ENV_FILE: Object = Object {
    fields: &[("path", TEXT), ("format", TEXT), ("required", FLAG)],
    required: &["path"],
    extensions: false,
    ..Object::EMPTY
};

/// One of `gpus`.
static GPU: Object = Object {
    fields: &[
        ("capabilities", UNIQUE_TEXTS),
        ("device_ids", UNIQUE_TEXTS),
        ("count", WHOLE),
        ("driver", TEXT),
        ("options", MAP_OR_LIST),
    ],
    names: (Names::Open, &Shape::Any),
    ..Object::EMPTY
};

/// One of `deploy.resources.reservations.devices`.
static DEVICE_REQUEST: Object = Object {
    fields: &[
        ("capabilities", UNIQUE_TEXTS),
        ("device_ids", UNIQUE_TEXTS),
        ("count", WHOLE),
        ("driver", TEXT),
        ("options", MAP_OR_LIST),
    ],
    required: &["capabilities"],
    ..Object::EMPTY
};

/// `logging`.
static LOGGING: Object =
    Object { fields: &[("driver", TEXT), ("options", Shape::Object(&LOGGING_OPTIONS))], ..Object::EMPTY };

/// `logging.options`.
static LOGGING_OPTIONS: Object = Object {
    names: (Names::Open, &Shape::Scalar(&[Type::Null, Type::Number, Type::Text, Type::Date])),
    extensions: false,
    ..Object::EMPTY
};

/// `models` of a service.
static SERVICE_MODELS: Object =
    Object { names: (Names::Open, &Shape::Object(&SERVICE_MODEL)), extensions: false, ..Object::EMPTY };

/// A model of a service.
static SERVICE_MODEL: Object =
    Object { fields: &[("endpoint_var", TEXT), ("model_var", TEXT)], nullable: true, ..Object::EMPTY };

/// `networks` of a service.
static SERVICE_NETWORKS: Object =
    Object { names: (Names::Resource, &Shape::Object(&SERVICE_NETWORK)), extensions: false, ..Object::EMPTY };

/// A service's place in a network.
static SERVICE_NETWORK: Object = Object {
    fields: &[
        ("aliases", UNIQUE_TEXTS),
        ("link_local_ips", UNIQUE_TEXTS),
        ("interface_name", TEXT),
        ("ipv4_address", TEXT),
        ("ipv6_address", TEXT),
        ("mac_address", TEXT),
        ("driver_opts", OPTIONS),
        ("priority", STRICT_NUMBER),
        ("gw_priority", STRICT_NUMBER),
    ],
    nullable: true,
    ..Object::EMPTY
};

/// `ulimits`.
static ULIMITS: Object = Object {
    names: (Names::Open, &Shape::OneOf(&[WHOLE, Shape::Object(&ULIMIT)])),
    extensions: false,
    ..Object::EMPTY
};

/// Two limits.
static ULIMIT: Object =
    Object { fields: &[("soft", WHOLE), ("hard", WHOLE)], required: &["soft", "hard"], ..Object::EMPTY };

/// A mount, long form.
static MOUNT: Object = Object {
    fields: &[
        ("type", Shape::Words(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
        ("source", TEXT),
        ("target", TEXT),
        ("consistency", TEXT),
        ("read_only", FLAG),
        ("bind", Shape::Object(&MOUNT_BIND)),
        ("volume", Shape::Object(&MOUNT_VOLUME)),
        ("tmpfs", Shape::Object(&MOUNT_TMPFS)),
        ("image", Shape::Object(&MOUNT_IMAGE)),
    ],
    required: &["type"],
    ..Object::EMPTY
};

/// `bind` of a mount.
static MOUNT_BIND: Object = Object {
    fields: &[
        ("propagation", TEXT),
        ("create_host_path", FLAG),
        ("recursive", Shape::Words(&["enabled", "disabled", "writable", "readonly"])),
        ("selinux", Shape::Words(&["z", "Z"])),
    ],
    ..Object::EMPTY
};

/// `volume` of a mount.
static MOUNT_VOLUME: Object =
    Object { fields: &[("labels", MAP_OR_LIST), ("nocopy", FLAG), ("subpath", TEXT)], ..Object::EMPTY };

/// `tmpfs` of a mount.
static MOUNT_TMPFS: Object =
    Object { fields: &[("size", Shape::Range(0, i64::MAX)), ("mode", NUMBER)], ..Object::EMPTY };

/// `image` of a mount.
static MOUNT_IMAGE: Object = Object { fields: &[("subpath", TEXT)], ..Object::EMPTY };

/// A service's use of a secret or config, long form.
static FILE_REFERENCE: Object = Object {
    fields: &[("source", TEXT), ("target", TEXT), ("uid", TEXT), ("gid", TEXT), ("mode", NUMBER)],
    ..Object::EMPTY
};

/// `extra_hosts`, as a mapping.
static EXTRA_HOST_ADDRESSES: Object = Object { names: (Names::Any, &TEXT_OR_LIST), extensions: false, ..Object::EMPTY };

/// `build`, long form.
static BUILD: Object = Object {
    fields: &[
        ("context", TEXT),
        ("dockerfile", TEXT),
        ("dockerfile_inline", TEXT),
        ("network", TEXT),
        ("target", TEXT),
        ("isolation", TEXT),
        ("entitlements", TEXTS),
        ("cache_from", TEXTS),
        ("cache_to", TEXTS),
        ("tags", TEXTS),
        ("platforms", TEXTS),
        ("args", MAP_OR_LIST),
        ("ssh", MAP_OR_LIST),
        ("labels", MAP_OR_LIST),
        ("additional_contexts", MAP_OR_LIST),
        ("no_cache", FLAG),
        ("pull", FLAG),
        ("privileged", FLAG),
        ("provenance", FLAG),
        ("sbom", FLAG),
        ("no_cache_filter", TEXT_OR_TEXTS),
        ("shm_size", WHOLE),
        ("extra_hosts", EXTRA_HOSTS),
        ("secrets", FILE_REFERENCES),
        ("ulimits", Shape::Object(&ULIMITS)),
    ],
    ..Object::EMPTY
};

/// `depends_on`, as a mapping.
static DEPENDENCIES: Object =
    Object { names: (Names::Resource, &Shape::Object(&DEPENDENCY)), extensions: false, ..Object::EMPTY };

/// One dependency.
static DEPENDENCY: Object = Object {
    fields: &[
        ("condition", Shape::Words(&["service_started", "service_healthy", "service_completed_successfully"])),
        ("restart", FLAG),
        ("required", STRICT_FLAG),
    ],
    required: &["condition"],
    ..Object::EMPTY
};

/// `healthcheck`.
static HEALTHCHECK: Object = Object {
    fields: &[
        ("disable", FLAG),
        ("interval", TEXT),
        ("timeout", TEXT),
        ("start_period", TEXT),
        ("start_interval", TEXT),
        ("retries", NUMBER),
        ("test", TEXT_OR_LIST),
    ],
    ..Object::EMPTY
};

/// A port, long form.
static PORT: Object = Object {
    fields: &[
        ("name", TEXT),
        ("mode", TEXT),
        ("host_ip", TEXT),
        ("protocol", TEXT),
        ("app_protocol", TEXT),
        ("target", WHOLE),
        ("published", WHOLE),
    ],
    ..Object::EMPTY
};

/// `develop`.
static DEVELOP: Object = Object {
    fields: &[("watch", Shape::List { items: &Shape::Object(&WATCH), unique: false })],
    nullable: true,
    ..Object::EMPTY
};

/// One rule of `develop.watch`.
static WATCH: Object = Object {
    fields: &[
        ("path", TEXT),
        ("target", TEXT),
        ("action", Shape::Words(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
        ("ignore", TEXT_OR_TEXTS),
        ("include", TEXT_OR_TEXTS),
        ("exec", Shape::Object(&HOOK)),
        ("initial_sync", STRICT_FLAG),
    ],
    required: &["path", "action"],
    ..Object::EMPTY
};

/// `post_start`, `pre_stop`, `develop.watch.exec`.
static HOOK: Object = Object {
    fields: &[
        ("command", COMMAND),
        ("user", TEXT),
        ("working_dir", TEXT),
        ("privileged", FLAG),
        ("environment", MAP_OR_LIST),
    ],
    required: &["command"],
    ..Object::EMPTY
};

/// `provider`.
static PROVIDER: Object = Object {
    fields: &[("type", TEXT), ("options", Shape::Object(&PROVIDER_OPTIONS))],
    required: &["type"],
    ..Object::EMPTY
};

/// `provider.options`.
static PROVIDER_OPTIONS: Object = Object {
    names: (Names::Open, &Shape::OneOf(&[PROVIDER_OPTION, Shape::List { items: &PROVIDER_OPTION, unique: false }])),
    extensions: false,
    ..Object::EMPTY
};

/// `deploy`.
static DEPLOY: Object = Object {
    fields: &[
        ("mode", TEXT),
        ("endpoint_mode", TEXT),
        ("replicas", WHOLE),
        ("labels", MAP_OR_LIST),
        ("rollback_config", Shape::Object(&UPDATE_CONFIG)),
        ("update_config", Shape::Object(&UPDATE_CONFIG)),
        ("resources", Shape::Object(&RESOURCES)),
        ("restart_policy", Shape::Object(&RESTART_POLICY)),
        ("placement", Shape::Object(&PLACEMENT)),
    ],
    nullable: true,
    ..Object::EMPTY
};

/// `deploy.update_config`, `deploy.rollback_config`.
static UPDATE_CONFIG: Object = Object {
    fields: &[
        ("parallelism", WHOLE),
        ("delay", TEXT),
        ("failure_action", TEXT),
        ("monitor", TEXT),
        ("max_failure_ratio", NUMBER),
        ("order", Shape::Words(&["start-first", "stop-first"])),
    ],
    ..Object::EMPTY
};

/// `deploy.resources`.
static RESOURCES: Object = Object {
    fields: &[("limits", Shape::Object(&LIMITS)), ("reservations", Shape::Object(&RESERVATIONS))],
    ..Object::EMPTY
};

/// `deploy.resources.limits`.
static LIMITS: Object = Object { fields: &[("cpus", NUMBER), ("memory", TEXT), ("pids", WHOLE)], ..Object::EMPTY };

/// `deploy.resources.reservations`.
static RESERVATIONS: Object = Object {
    fields: &[
        ("cpus", NUMBER),
        ("memory", TEXT),
        ("generic_resources", Shape::List { items: &Shape::Object(&GENERIC_RESOURCE), unique: false }),
        ("devices", Shape::List { items: &Shape::Object(&DEVICE_REQUEST), unique: false }),
    ],
    ..Object::EMPTY
};

/// One of `generic_resources`.
static GENERIC_RESOURCE: Object =
    Object { fields: &[("discrete_resource_spec", Shape::Object(&DISCRETE_RESOURCE))], ..Object::EMPTY };

/// `discrete_resource_spec`.
static DISCRETE_RESOURCE: Object = Object { fields: &[("kind", TEXT), ("value", NUMBER)], ..Object::EMPTY };

/// `deploy.restart_policy`.
static RESTART_POLICY: Object = Object {
    fields: &[("condition", TEXT), ("delay", TEXT), ("window", TEXT), ("max_attempts", WHOLE)],
    ..Object::EMPTY
};

/// `deploy.placement`.
static PLACEMENT: Object = Object {
    fields: &[
        ("constraints", TEXTS),
        ("preferences", Shape::List { items: &Shape::Object(&PREFERENCE), unique: false }),
        ("max_replicas_per_node", WHOLE),
    ],
    ..Object::EMPTY
};

/// One of `deploy.placement.preferences`.
static PREFERENCE: Object = Object { fields: &[("spread", TEXT)], ..Object::EMPTY };

/// A network.
static NETWORK: Object = Object {
    fields: &[
        ("name", TEXT),
        ("driver", TEXT),
        ("driver_opts", OPTIONS),
        ("ipam", Shape::Object(&IPAM)),
        ("external", EXTERNAL_OR_NAME),
        ("internal", FLAG),
        ("enable_ipv4", FLAG),
        ("enable_ipv6", FLAG),
        ("attachable", FLAG),
        ("labels", MAP_OR_LIST),
    ],
    nullable: true,
    ..Object::EMPTY
};

/// `ipam` of a network.
static IPAM: Object = Object {
    fields: &[
        ("driver", TEXT),
        ("config", Shape::List { items: &Shape::Object(&IPAM_POOL), unique: false }),
        ("options", Shape::Object(&TEXT_BY_NAME)),
    ],
    ..Object::EMPTY
};

/// One of `ipam.config`.
static IPAM_POOL: Object = Object {
    fields: &[("subnet", TEXT), ("ip_range", TEXT), ("gateway", TEXT), ("aux_addresses", Shape::Object(&TEXT_BY_NAME))],
    ..Object::EMPTY
};

/// A volume.
static VOLUME: Object = Object {
    fields: &[
        ("name", TEXT),
        ("driver", TEXT),
        ("driver_opts", OPTIONS),
        ("external", EXTERNAL_OR_NAME),
        ("labels", MAP_OR_LIST),
    ],
    nullable: true,
    ..Object::EMPTY
};

/// A secret.
static SECRET: Object = Object {
    fields: &[
        ("name", TEXT),
        ("environment", TEXT),
        ("file", TEXT),
        ("driver", TEXT),
        ("template_driver", TEXT),
        ("external", EXTERNAL_OR_ANYTHING),
        ("labels", MAP_OR_LIST),
        ("driver_opts", OPTIONS),
    ],
    ..Object::EMPTY
};

/// A config.
static CONFIG: Object = Object {
    fields: &[
        ("name", TEXT),
        ("content", TEXT),
        ("environment", TEXT),
        ("file", TEXT),
        ("template_driver", TEXT),
        ("external", EXTERNAL_OR_ANYTHING),
        ("labels", MAP_OR_LIST),
    ],
    ..Object::EMPTY
};

/// `external`, former long form.
static EXTERNAL: Object = Object { fields: &[("name", TEXT)], ..Object::EMPTY };

/// `external` of secrets and configs, where the reference looks at nothing but the name.
static EXTERNAL_FILE: Object = Object { fields: &[("name", TEXT)], names: (Names::Open, &Shape::Any), ..Object::EMPTY };

/// A model.
static MODEL: Object = Object {
    fields: &[("name", TEXT), ("model", TEXT), ("context_size", STRICT_WHOLE), ("runtime_flags", TEXTS)],
    required: &["model"],
    ..Object::EMPTY
};

const FILE_REFERENCES: Shape =
    Shape::List { items: &Shape::OneOf(&[TEXT, Shape::Object(&FILE_REFERENCE)]), unique: false };
const EXTRA_HOSTS: Shape = Shape::OneOf(&[Shape::Object(&EXTRA_HOST_ADDRESSES), UNIQUE_TEXTS]);
const EXTERNAL_OR_NAME: Shape = Shape::OneOf(&[FLAG, Shape::Object(&EXTERNAL)]);
const EXTERNAL_OR_ANYTHING: Shape = Shape::OneOf(&[FLAG, Shape::Object(&EXTERNAL_FILE)]);
const PROVIDER_OPTION: Shape = Shape::Scalar(&[Type::Boolean, Type::Number, Type::Text]);

const PULL_POLICY: Pattern = Pattern {
    expression: "^(always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+)$",
    admits: is_pull_policy,
};
const CONTAINER_NAME: Pattern = Pattern { expression: "[a-zA-Z0-9][a-zA-Z0-9_.-]+", admits: holds_container_name };

fn is_pull_policy(text: &str) -> bool {
    let Some(mut rest) = text.strip_prefix("every_") else {
        return matches!(
            text,
            "always" | "never" | "build" | "if_not_present" | "missing" | "refresh" | "daily" | "weekly"
        );
    };
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let has_unit = matches!(rest.as_bytes().get(digits), Some(b'w' | b'd' | b'h' | b'm' | b's'));
        if digits == 0 || !has_unit {
            return false;
        }
        rest = &rest[digits + 1..];
    }
    true
}

/// The expression is not anchored: two fitting characters anywhere are enough.
fn holds_container_name(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| {
        pair[0].is_ascii_alphanumeric() && (pair[1].is_ascii_alphanumeric() || matches!(pair[1], b'_' | b'.' | b'-'))
    })
}
