//! Tests of the OCI specification.

use compose_model::units::ByteSize;

use super::*;

fn host() -> Host {
    Host { capabilities: u64::MAX, ..Host::default() }
}

fn built(spec: &ContainerSpec, image: &ImageDefaults, user: &User) -> Result<Value> {
    build(Input {
        id: "abc",
        namespace: "default",
        spec,
        image,
        user,
        host: &host(),
        hostname: "web",
        network: Some("/run/netns/x".into()),
        mounts: Vec::new(),
        devices: Vec::new(),
        security: &Security::default(),
        init: spec.init == Some(true),
    })
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn entrypoint_and_command_combine_as_dockerd_does() {
    let image =
        ImageDefaults { entrypoint: Some(text(&["/entry"])), cmd: Some(text(&["serve"])), ..ImageDefaults::default() };
    for (entrypoint, command, wanted) in [
        (None, None, vec!["/entry", "serve"]),
        (None, Some(text(&["other"])), vec!["/entry", "other"]),
        (Some(text(&["/mine"])), None, vec!["/mine"]),
        (Some(text(&["/mine"])), Some(text(&["x"])), vec!["/mine", "x"]),
        (Some(Vec::new()), None, vec!["serve"]),
        (None, Some(Vec::new()), vec!["/entry"]),
    ] {
        let spec = ContainerSpec { entrypoint, command, ..ContainerSpec::default() };
        let (entrypoint, command) = words(&spec, &image);
        assert_eq!([entrypoint, command].concat(), wanted);
    }
}

#[test]
fn a_variable_without_value_removes_the_images_own() {
    let own = Environment::from([("A".to_owned(), None), ("B".to_owned(), Some("2".to_owned()))]);
    let got = environment(&text(&["A=1", "B=1", "C=3"]), &own, &[("PATH", "/bin")]);
    assert_eq!(got, ["PATH=/bin", "B=2", "C=3"]);
}

#[test]
fn capabilities_are_added_and_dropped() {
    let of = |add: &[&str], drop: &[&str]| {
        let spec = ContainerSpec { cap_add: text(add), cap_drop: text(drop), ..ContainerSpec::default() };
        capabilities(&spec, &host())
    };
    assert_eq!(of(&[], &[]).unwrap().len(), 14);
    assert_eq!(of(&["net_admin"], &["ALL"]).unwrap(), ["CAP_NET_ADMIN"]);
    assert_eq!(of(&["ALL"], &["CAP_SYS_ADMIN"]).unwrap().len(), 40);
    assert!(!of(&[], &["KILL"]).unwrap().contains(&"CAP_KILL"));
    assert!(of(&["NO_SUCH"], &[]).is_err());
}

#[test]
fn a_process_without_root_rights_has_no_effective_capabilities() {
    let spec = ContainerSpec { command: Some(text(&["a"])), ..ContainerSpec::default() };
    let user = User { uid: 33, gid: 33, groups: vec![33], home: "/".to_owned() };
    let value = built(&spec, &ImageDefaults::default(), &user).unwrap();
    assert_eq!(value["process"]["capabilities"]["effective"], json!([]));
    assert_eq!(value["process"]["capabilities"]["bounding"].as_array().map(Vec::len), Some(14));
}

#[test]
fn limits_become_resources() {
    let mut spec = ContainerSpec { command: Some(text(&["a"])), ..ContainerSpec::default() };
    spec.resources.nano_cpus = 1_500_000_000;
    spec.resources.mem_limit = ByteSize(1000);
    spec.resources.pids_limit = -1;
    spec.ulimits.insert("nofile".to_owned(), compose_model::project::Ulimit::Pair { soft: 10, hard: -1 });
    let value = built(&spec, &ImageDefaults::default(), &User::default()).unwrap();
    let resources = &value["linux"]["resources"];
    assert_eq!(resources["cpu"], json!({ "period": 100_000, "quota": 150_000 }));
    assert_eq!(resources["memory"], json!({ "limit": 1000, "swap": 2000 }));
    assert_eq!(resources["pids"], json!({ "limit": -1 }));
    assert_eq!(value["process"]["rlimits"], json!([{ "type": "RLIMIT_NOFILE", "soft": 10, "hard": u64::MAX }]));
}

#[test]
fn what_cannot_be_honoured_is_an_error_and_not_ignored() {
    let mut spec = ContainerSpec { command: Some(text(&["a"])), ..ContainerSpec::default() };
    spec.ipc = Namespace::Engine("odd".to_owned());
    assert!(built(&spec, &ImageDefaults::default(), &User::default()).is_err());
    let none = built(&ContainerSpec::default(), &ImageDefaults::default(), &User::default());
    assert_eq!(none.unwrap_err().to_string(), "no command specified");
}

#[test]
fn the_apparmor_profile_is_the_process_s_own_and_absent_where_there_is_none() {
    let document = |apparmor: Option<&str>| {
        let security = Security { apparmor: apparmor.map(str::to_owned), ..Security::default() };
        let (spec, image, user, host) = (ContainerSpec::default(), ImageDefaults::default(), User::default(), host());
        let spec = ContainerSpec { command: Some(text(&["true"])), ..spec };
        build(Input {
            id: "abc",
            namespace: "default",
            spec: &spec,
            image: &image,
            user: &user,
            host: &host,
            hostname: "web",
            network: None,
            mounts: Vec::new(),
            devices: Vec::new(),
            security: &security,
            init: false,
        })
        .expect("a document")
    };
    assert_eq!(document(Some("docker-default"))["process"]["apparmorProfile"], "docker-default");
    assert!(document(None)["process"].get("apparmorProfile").is_none());
}
