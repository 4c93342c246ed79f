//! Flags that need no engine, each with what it must say. `docs/flags.md` is made from these rows too.

use std::path::Path;

mod support;
use support::compose;

type Row = (&'static str, i32, &'static str);

fn table(directory: &Path, rows: &[Row]) {
    for (line, code, text) in rows {
        says(directory, line, *code, text);
    }
}

fn says(directory: &Path, line: &str, code: i32, text: &str) {
    let arguments: Vec<&str> = line.split(' ').collect();
    let output = compose(directory, &arguments);
    let both = [output.stdout, output.stderr].concat();
    let both = String::from_utf8_lossy(&both);
    assert_eq!(output.status.code(), Some(code), "{line}: {both}");
    assert!(both.contains(text), "{line}: no {text:?} in {both}");
}

const SHOP: &str = "
name: shop
services:
  web:
    image: shop/web:${TAG:-7}
    ports: ['80']
    depends_on: [db]
    env_file: [vars]
    networks: [front]
  db:
    image: postgres
    volumes: ['data:/data', './conf:/conf']
    networks: [front]
networks: {front: {}}
volumes: {data: {}, spare: {}}
";

fn shop() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("compose.yaml"), SHOP).expect("written");
    std::fs::write(directory.path().join("vars"), "A=from-file\n").expect("written");
    // Nothing listens there: no test speaks to a registry of somebody else.
    let pinned = "services: {web: {image: 'localhost:1/web:7'}}\n";
    std::fs::write(directory.path().join("pinned.yaml"), pinned).expect("written");
    directory
}

#[test]
fn options_before_the_command_are_taken() {
    let directory = shop();
    let rows: &[Row] = &[
        ("--all-resources config --volumes", 0, "spare"),
        ("--workdir . config --services", 0, "web"),
        ("--no-ansi config --services", 0, "web"),
        ("--ansi never config --services", 0, "web"),
        ("--ansi sometimes config --services", 1, "sometimes"),
        ("--verbose config --services", 0, "web"),
        ("-D config --services", 0, "web"),
        ("-l info config --services", 0, "web"),
        ("-l loud config --services", 1, "loud"),
        ("--compatibility config --images", 0, "shop/web:7"),
        ("--insecure-registry localhost:5000 config --services", 0, "web"),
        ("--parallel 2 config --services", 0, "web"),
        ("--parallel many config --services", 1, "many"),
        ("--context nowhere ps", 1, "nowhere"),
        ("--runtime podman ps", 1, "podman"),
        ("--host tcp://127.0.0.1:1 --tls ps", 1, "127.0.0.1:1"),
        ("--host tcp://127.0.0.1:1 --tlsverify --tlscacert a --tlscert b --tlskey c ps", 1, ""),
    ];
    table(directory.path(), rows);
}

#[test]
fn config_shows_what_it_is_asked_for_and_names_are_checked_first() {
    let directory = shop();
    let rows: &[Row] = &[
        ("pull --parallel --no-parallel nobody", 1, "nobody"),
        ("stats web db", 1, "accepts at most 1 arg(s), received 2"),
        ("publish", 1, "'docker compose publish' requires 1 argument"),
        ("build --builder somewhere --pull --ssh default nobody", 1, "nobody"),
        ("build --provenance=false --sbom=false nobody", 1, "nobody"),
        ("watch --dry-run --prune=false --quiet nobody", 1, "nobody"),
        ("config --environment", 0, "COMPOSE_PROJECT_NAME=shop"),
        ("config --images", 0, "shop/web:7"),
        ("config --networks", 0, "front"),
        ("config --volumes", 0, "data"),
        ("config --models", 0, ""),
        ("config --variables", 0, "TAG"),
        ("config --no-interpolate", 0, "${TAG:-7}"),
        ("config --no-path-resolution", 0, "./conf"),
        ("config --no-env-resolution", 0, "vars"),
        ("config --no-normalize", 0, "web"),
        ("config --no-consistency", 0, "web"),
        ("-f pinned.yaml config --resolve-image-digests", 1, "failed to resolve digest for localhost:1/web:7"),
        ("-f pinned.yaml config --lock-image-digests", 1, "failed to resolve digest for localhost:1/web:7"),
    ];
    table(directory.path(), rows);
}

#[test]
fn our_own_commands_and_the_graph() {
    let directory = shop();
    let rows: &[Row] = &[
        ("alpha viz --image --networks --ports --spaces --indentation-size 2", 0, "digraph"),
        ("alpha viz --dry-run", 0, "digraph"),
        ("alpha --dry-run viz", 0, "digraph"),
        ("alpha viz --format mermaid", 0, "web"),
        ("alpha viz --format svg", 0, "<svg "),
        ("alpha viz --format png", 1, "use dot, mermaid or svg"),
        ("bridge convert --dry-run --transformation shop/to-helm", 0, "shop/to-helm Converting to"),
        ("bridge convert --templates nowhere", 1, "nowhere: no such directory"),
        ("bridge transformations create --dry-run made", 0, "Copying /templates to"),
        ("bridge transformations create", 1, "requires 1 argument"),
        ("bridge transformations ls --format png", 1, "could not be parsed"),
        ("bridge transformations list --dry-run --format png", 1, "could not be parsed"),
        ("alpha generate --dry-run", 1, "generate"),
        ("check --format json --dry-run", 0, ""),
        ("check --strict --ignore latest-tag", 1, ""),
        ("schema --dry-run", 0, "services"),
        ("version --engine", 0, "version"),
        ("completion --dry-run bash", 0, "compose"),
        ("man --dry-run pages", 0, "pages"),
    ];
    table(directory.path(), rows);
}

#[test]
fn the_graph_has_what_it_is_asked_for() {
    let directory = shop();
    let web = |more: &str| format!("\t\"web\" [style=\"filled\" label=<<font point-size=\"15\">web</font>{more}>];\n");
    let section = |text: &str| format!("<font point-size=\"10\"><br/><br/><b>{text}</font>");
    let (image, networks) = (section("Image:</b><br/>shop/web:7"), section("Networks:</b><br/>front"));
    let ports = section("Ports:</b><br/>:80 (tcp, ingress)");
    let rows = [
        ("alpha viz", web("")),
        ("alpha viz", "\n\n\t\"web\" -> \"db\";\n}\n".to_owned()),
        ("alpha viz --image", web(&image)),
        ("alpha viz --image --networks --ports", web(&format!("{networks}{ports}{image}"))),
    ];
    for (line, text) in rows {
        says(directory.path(), line, 0, &text);
    }
}
