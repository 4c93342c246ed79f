//! Volumes and mounts.

use compose_tests::{CaseResult, Engine, Project, ensure, ensure_eq};

crate::cases! { Any:
    named_volume_keeps_its_data_until_down_volumes,
    anonymous_volume_is_carried_over_unless_renewed,
    bind_mounts_show_host_files,
    tmpfs_and_read_only_mounts_are_given,
    missing_external_volume_is_named,
    bind_source_that_must_exist_is_named,
}

const DATA: &str = "
services:
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes:
      - db_data:/data
      - /scratch
volumes:
  db_data:
";

fn exec(project: &Project, script: &str) -> Result<String, String> {
    Ok(project.compose(&["exec", "-T", "db", "sh", "-c", script])?.ok()?.stdout)
}

fn named_volume_keeps_its_data_until_down_volumes(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, DATA)?;
    project.compose(&["up", "-d"])?.ok()?;
    exec(&project, "echo kept > /data/file")?;
    project.compose(&["down"])?.ok()?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(exec(&project, "cat /data/file")?, "kept\n", "after `down` and `up`");
    project.compose(&["down", "--volumes"])?.ok()?;
    ensure_eq!(engine.volumes(&project.name)?, Vec::<String>::new(), "volumes after `down --volumes`");
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(exec(&project, "ls /data")?, "", "after `down --volumes` and `up`");
    Ok(())
}

fn anonymous_volume_is_carried_over_unless_renewed(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, DATA)?;
    project.compose(&["up", "-d"])?.ok()?;
    exec(&project, "echo kept > /scratch/file")?;
    let before = project.only("db")?.id;
    project.compose(&["up", "-d", "--force-recreate"])?.ok()?;
    ensure!(project.only("db")?.id != before, "db was not replaced");
    ensure_eq!(exec(&project, "cat /scratch/file")?, "kept\n", "after the replacement");
    project.compose(&["up", "-d", "--force-recreate", "-V"])?.ok()?;
    ensure_eq!(exec(&project, "ls /scratch")?, "", "after a replacement with `-V`");
    project.compose(&["down", "-v"])?.ok()?;
    Ok(())
}

fn bind_mounts_show_host_files(engine: &Engine) -> CaseResult {
    let project = Project::with(engine, &DATA.replace("db_data:/data", "./host:/data:ro"))?;
    project.write("host/file", "from the host\n")?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure_eq!(exec(&project, "cat /data/file")?, "from the host\n", "the file");
    ensure_eq!(exec(&project, "touch /data/x 2>/dev/null; echo $?")?.trim(), "1", "writing to a read-only mount");
    Ok(())
}

fn tmpfs_and_read_only_mounts_are_given(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        &DATA.replace(
            "    volumes:\n      - db_data:/data\n",
            "    read_only: true\n    tmpfs: /run\n    volumes:\n      - type: tmpfs\n        target: /small\n        tmpfs: {size: 1m}\n      - db_data:/data\n",
        ),
    )?;
    project.compose(&["up", "-d"])?.ok()?;
    ensure!(exec(&project, "mount")?.contains("tmpfs on /small"), "no tmpfs at /small");
    ensure!(exec(&project, "mount")?.contains("tmpfs on /run"), "no tmpfs at /run");
    ensure_eq!(exec(&project, "touch /x 2>/dev/null; echo $?")?.trim(), "1", "writing to the root");
    Ok(())
}

fn missing_external_volume_is_named(engine: &Engine) -> CaseResult {
    let text = format!("{DATA}    name: surely-not-there\n    external: true\n");
    let project = Project::with(engine, &text)?;
    project.compose(&["up", "-d"])?.exits(1)?.says("external volume \"surely-not-there\" not found")?;
    ensure_eq!(project.states()?, vec![], "containers");
    Ok(())
}

fn bind_source_that_must_exist_is_named(engine: &Engine) -> CaseResult {
    let project = Project::with(
        engine,
        &DATA.replace(
            "      - db_data:/data\n",
            "      - type: bind\n        source: ./not-there\n        target: /data\n        bind: {create_host_path: false}\n      - db_data:/other\n",
        ),
    )?;
    project.compose(&["up", "-d"])?.exits(1)?.says("bind source path does not exist")?;
    Ok(())
}
