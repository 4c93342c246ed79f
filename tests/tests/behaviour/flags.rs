//! Flags that no other case uses, each with what it must bring about or say.
//!
//! A row is a command line, the exit code, and a text that the output must hold. `docs/flags.md` is
//! made from these rows and from the other cases.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    dry_runs_change_nothing,
    flags_of_changing_commands,
    flags_of_one_offs_and_exec,
    flags_of_seeing_commands,
    flags_of_plans;
    Builds:
    flags_of_builds,
}

const FILE: &str = "
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: [db]
    ports: ['80']
    volumes: ['data:/data']
  db:
    image: busybox
    command: [sh, -c, 'echo hello from db; sleep 1000']
    stop_signal: SIGKILL
  gone:
    image: busybox
    command: [sh, -c, 'exit 3']
volumes:
  data: {}
";

type Row = (&'static str, i32, &'static str);

fn table(project: &Project, rows: &[Row]) -> CaseResult {
    for (line, code, text) in rows {
        let words: Vec<&str> = line.split(' ').collect();
        project.compose(&words)?.exits(*code)?.says(text)?;
    }
    Ok(())
}

fn dry_runs_change_nothing(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, FILE)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["wait", "gone"])?;
    let state = |project: &Project| -> Result<Vec<(String, String, String)>, String> {
        Ok(project.containers()?.into_iter().map(|one| (one.id, one.state, one.started_at)).collect())
    };
    let before = state(&project)?;
    project.write("file", "x")?;
    let rows: &[Row] = &[
        ("up --dry-run -d --force-recreate", 0, "Recreate"),
        ("create --dry-run --force-recreate", 0, "Recreate"),
        ("plan --dry-run", 0, ""),
        ("why --dry-run", 0, "web"),
        ("ps --dry-run", 0, "web-1"),
        ("logs --dry-run db", 0, "hello from db"),
        ("exec --dry-run web rm -rf /bin", 0, ""),
        ("run --dry-run --rm web true", 0, ""),
        ("start --dry-run gone", 0, "Started"),
        ("stop --dry-run web", 0, "Stopped"),
        ("restart --dry-run web", 0, "Started"),
        ("kill --dry-run web", 0, "Killed"),
        ("rm --dry-run -f gone", 0, "Removed"),
        ("scale --dry-run db=3", 0, "db-3"),
        ("pause --dry-run web", 0, "Paused"),
        ("unpause --dry-run web", 0, ""),
        ("build --dry-run", 0, ""),
        ("pull --dry-run", 0, ""),
        ("push --dry-run", 0, "Skipped"),
        ("config --dry-run --services", 0, "web"),
        ("ls --dry-run", 0, "running"),
        ("images --dry-run", 0, "busybox"),
        ("volumes --dry-run", 0, "_data"),
        ("port --dry-run web 80", 0, ":"),
        ("top --dry-run web", 0, "sleep"),
        ("stats --dry-run --no-stream web", 0, "web-1"),
        ("events --dry-run --since 1s --until 0s", 0, ""),
        ("cp --dry-run file web:/tmp/file", 0, ""),
        ("attach --dry-run gone", 1, "not running"),
        ("wait --dry-run gone", 3, "status code 3"),
        ("export --dry-run -o out.tar web", 0, ""),
        ("commit --dry-run web nobody/nothing", 0, ""),
        ("down --dry-run -v", 0, "Removed"),
        ("version --dry-run", 0, "version"),
    ];
    table(&project, rows)?;
    ensure_eq!(state(&project)?, before, "the containers");
    ensure!(!project.folder().join("out.tar").exists(), "export --dry-run wrote a file");
    ensure!(engine.docker(&["image", "inspect", "nobody/nothing"]).is_err(), "commit --dry-run made an image");
    Ok(())
}

fn flags_of_changing_commands(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, FILE)?;
    let rows: &[Row] = &[
        ("create --adopt --scale db=2 -y", 0, "db-2"),
        ("create --force-recreate db", 0, "Recreated"),
        ("create --no-recreate --no-build --remove-orphans", 0, ""),
        ("create --build", 0, ""),
        ("up -d --scale db=1", 0, "Started"),
        ("up -d --always-recreate-deps web", 0, "db-1 Recreated"),
        ("up -d -y --quiet-build", 0, "Running"),
        ("scale --adopt --no-deps web=2", 0, "web-2"),
        ("stop --adopt web", 0, "Stopped"),
        ("start --adopt --wait --wait-timeout 60 web", 0, "web-1"),
        ("restart --adopt -t 1 web", 0, "Started"),
        ("pause --adopt web", 0, "Paused"),
        ("unpause --adopt web", 0, "Unpaused"),
        ("kill --adopt --remove-orphans web", 0, "Killed"),
        ("rm --adopt -f -v -a web", 0, "Removed"),
        ("up --no-color --menu=false --abort-on-container-exit gone", 3, "exited with code 3"),
        ("down --adopt -t 1", 0, "Removed"),
    ];
    table(&project, rows)
}

fn flags_of_one_offs_and_exec(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, FILE)?;
    project.write("vars", "FROM_FILE=yes\n")?;
    project.compose(&["up", "-d"])?.ok()?;
    let capabilities = ["grep", "CapEff", "/proc/self/status"];
    let plain = project.compose(&[&["exec", "-T", "web"], capabilities.as_slice()].concat())?.ok()?;
    let all = project.compose(&[&["exec", "-T", "--privileged", "web"], capabilities.as_slice()].concat())?;
    // Engine 20.10 asks for capabilities that a confined host cannot give, and says so.
    let refused = all.code == 126 && all.stdout.contains("unable to apply caps");
    ensure!(refused || all.stdout.contains("CapEff") && all.stdout != plain.stdout, "`exec --privileged`: {all}");
    let rows: &[Row] = &[
        ("exec -d web touch /tmp/detached", 0, ""),
        ("exec -T --interactive=false web cat", 0, ""),
        ("run --rm -T --cap-drop CHOWN --cap-add NET_ADMIN db grep CapEff /proc/self/status", 0, "CapEff"),
        ("run --rm -T --env-from-file vars db env", 0, "FROM_FILE=yes"),
        ("run --rm -T --build --quiet-build --quiet-pull db true", 0, ""),
        ("run --rm -T --remove-orphans --use-aliases db echo seen", 0, "seen"),
        ("run --adopt --rm -T -q -P --interactive=false db echo seen", 0, "seen"),
        ("run --rm -p 127.0.0.1::80 -T db echo seen", 0, "seen"),
        ("run --rm --tty=false db echo seen", 0, "seen"),
    ];
    table(&project, rows)
}

fn flags_of_seeing_commands(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, FILE)?;
    project.compose(&["up", "-d"])?.ok()?;
    project.compose(&["wait", "gone"])?;
    let rows: &[Row] = &[
        ("ps --filter status=running --no-trunc", 0, "web-1"),
        ("ps --filter name=x", 1, "name"),
        ("logs --no-color --index 1 --since 1h db", 0, "hello from db"),
        ("logs --until 2020-01-01 db", 0, ""),
        ("logs --index 7 db", 1, "not running container #7"),
        ("ls --filter name=nothing-has-this-name --format json", 0, "[]"),
        ("ls -a -q", 0, "t"),
        ("images -q", 0, ""),
        ("volumes --format {{.Name}}", 0, "_data"),
        ("stats --no-stream --no-trunc --format {{.Name}} web", 0, "web-1"),
        ("stats --no-stream -a --format {{.Name}}", 0, "gone-1"),
        ("stats nobody", 0, ""),
        ("events --since 2020-01-01 --until 2020-01-02", 0, ""),
        ("cp -a -L --index 1 web:/etc/passwd copied", 0, "Copied"),
        ("cp --all copied web:/tmp/copied", 0, "Copied"),
        ("attach --index 7 web", 1, "web"),
        ("attach --no-stdin --sig-proxy=false --detach-keys ctrl-x gone", 1, "not running"),
        ("export --index 1 -o out.tar web", 0, "Export"),
        ("export --index 7 web", 1, "web"),
        ("commit --index 7 web x", 1, "web"),
        ("alpha generate --format yaml --name x --project-dir . nobody", 1, "generate"),
    ];
    table(&project, rows)?;
    ensure!(project.folder().join("copied").exists(), "cp did not copy");
    ensure!(project.folder().join("out.tar").metadata().is_ok_and(|file| file.len() > 1000), "export wrote nothing");
    let image = format!("{}-made", project.name);
    project
        .compose(&["commit", "-a", "me", "-m", "why", "-c", "ENV MADE=yes", "--pause=false", "web", &image])?
        .ok()?;
    let made = engine.docker(&["image", "inspect", &image]);
    engine.docker(&["image", "rm", &image])?;
    let made = made?;
    ensure!(made.contains("MADE=yes") && made.contains("\"me\"") && made.contains("why"), "the image: {made}");
    Ok(())
}

fn flags_of_plans(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, FILE)?;
    let rows: &[Row] = &[
        ("plan --build --no-deps db", 0, "create:db.1"),
        ("plan --pull missing --wait --scale db=2", 0, "create:db.2"),
        ("plan --no-build -t 5 -o saved.json", 0, ""),
        ("apply --dry-run saved.json", 0, "Started"),
        ("apply --adopt -y saved.json", 0, "Started"),
        ("plan --rerun-jobs", 0, ""),
        ("plan --keep-jobs", 0, ""),
        ("up -d --rerun-jobs db", 0, ""),
        ("why --format json", 0, "web"),
        ("plan --force-recreate -V", 0, "create:db.1.new"),
        ("plan --always-recreate-deps --remove-orphans web", 0, "create:db.1.new"),
        ("plan --no-recreate", 0, ""),
        ("plan --down -v", 0, "remove-volume"),
    ];
    table(&project, rows)
}

fn flags_of_builds(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        "services:\n  app:\n    build: {context: ., dockerfile_inline: 'FROM busybox'}\n    depends_on: [base]\n  base:\n    \
         build: {context: ., dockerfile_inline: 'FROM busybox'}\n",
    )?;
    let rows: &[Row] = &[
        ("build --with-dependencies app", 0, "base"),
        ("build --memory 100m --compress --force-rm --no-rm --parallel app", 0, ""),
        ("build --quiet --progress plain app", 0, ""),
    ];
    let done = table(&project, rows);
    for service in ["app", "base"] {
        let _ = engine.docker(&["image", "rm", "-f", &format!("{}-{service}", project.name)]);
    }
    done
}
