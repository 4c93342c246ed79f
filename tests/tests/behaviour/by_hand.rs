//! What was changed on containers by hand: seen by `why` and `plan --drift`, undone by
//! `up --repair-drift`.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { (Docker("containerd's clients change no limits and join no networks of what is there")):
    what_was_changed_by_hand_is_seen_and_undone,
}

fn what_was_changed_by_hand_is_seen_and_undone(engine: &Engine) -> CaseResult {
    let file = "services:\n  web:\n    image: busybox:1\n    command: sleep 1000\n    stop_grace_period: 0s\n    \
                mem_limit: 64m\n  net:\n    image: busybox:1\n    command: sleep 1000\n    stop_grace_period: 0s\n";
    let project = Project::with(engine, file)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["plan", "--drift", "--exit-code"])?.exits(0)?;
    project.compose(&["why", "web"])?.ok()?.says("equals the file")?;
    let (web, net) = (project.only("web")?, project.only("net")?);
    engine.docker(&["update", "--memory", "128m", "--memory-swap", "256m", &web.id])?;
    engine.docker(&["network", "connect", "bridge", &net.id])?;
    let network = format!("{}_default", project.name);
    engine.docker(&["network", "disconnect", &network, &net.id])?;
    engine.docker(&["network", "connect", &network, &net.id])?;

    // A plain `up` and `plan` leave it alone, as the reference does.
    project.compose(&["plan", "--exit-code"])?.exits(0)?;
    let run = project.compose(&["why", "--format", "json"])?.ok()?;
    let answers: serde_json::Value = serde_json::from_str(&run.stdout).map_err(|error| format!("{error}: {run}"))?;
    let web_answer = answers.as_array().and_then(|all| all.iter().find(|one| one["service"] == "web"));
    let row = web_answer.map(|answer| answer["rows"][0].clone()).unwrap_or_default();
    ensure_eq!(row["attribute"], "mem_limit", "what differs");
    ensure_eq!(row["recorded"], "67108864", "recorded");
    ensure_eq!(row["actual"], "134217728", "actual");
    ensure_eq!(row["by_hand"], true, "who changed it");
    let run = project.compose(&["plan", "--drift", "--exit-code"])?.exits(2)?;
    for text in ["mem_limit \"134217728\" -> \"67108864\" (compose.yaml:6)", "network bridge", "aliases"] {
        ensure!(run.stdout.contains(text), "lacks {text:?}: {run}");
    }

    project.compose(&["up", "-d", "--repair-drift"])?.ok()?;
    project.compose(&["plan", "--drift", "--exit-code"])?.exits(0)?;
    let (after_web, after_net) = (project.only("web")?, project.only("net")?);
    ensure!(after_web.id != web.id, "the limit was not undone: only a replacement can");
    ensure_eq!(after_net.id, net.id, "a network needs no replacement");
    let networks = after_net.inspect["NetworkSettings"]["Networks"].as_object().map_or(0, serde_json::Map::len);
    ensure_eq!(networks, 1, "networks");
    project.compose(&["exec", "-T", "web", "nslookup", "net"])?.ok()?;
    Ok(())
}
