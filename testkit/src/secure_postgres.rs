//! A PostgreSQL of a test's own that lets nobody in without TLS.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nyc311::config::{DatabaseSettings, Secret};
use tempfile::TempDir;

use crate::certificates::Pair;

/// Who may sign in, and how: everybody needs TLS, `certified` a certificate of that name too, and `open` may
/// come with or without.
const WHO: &str = "\
hostssl   all certified 127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostssl   all secret    127.0.0.1/32 scram-sha-256
host      all open      127.0.0.1/32 scram-sha-256
hostnossl all plain     127.0.0.1/32 scram-sha-256
local     all owner                  trust
";

const PASSWORD: &str = "hunter2";

/// A running server. Dropping it stops it and deletes its data.
pub struct SecurePostgres {
    folder: TempDir,
    programs: PathBuf,
    /// The user that it runs as where the test's own is root, which PostgreSQL refuses.
    user: Option<(&'static str, u32)>,
    port: u16,
}

impl SecurePostgres {
    /// Starts a server that shows this certificate and takes clients that this root has signed.
    pub fn start(shown: &Pair, client_root: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, programs: programs(), user: other_user(), port };
        let home = server.folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        server.give_away(&home);
        server.run("initdb", &["-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        server.show(shown);
        server.write("clients.pem", &std::fs::read(client_root).unwrap());
        server.write("pg_hba.conf", WHO.as_bytes());
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{home}'\nfsync = off\n\
             ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\nssl_ca_file = 'clients.pem'\n",
            home = home.display()
        );
        server.write("postgresql.conf", settings.as_bytes());
        let log = home.join("log");
        server.run("pg_ctl", &["start", "-s", "-w", "-t", "90", "-l", log.to_str().unwrap()]);
        for user in ["certified", "secret", "open", "plain"] {
            server.sql("postgres", &format!("create role {user} login password '{PASSWORD}'"));
            server.sql("postgres", &format!("create database {user} owner {user}"));
        }
        server
    }

    /// Returns the address for a user, whose database has the same name, with parameters.
    pub fn url(&self, host: &str, user: &str, parameters: &str) -> String {
        format!("postgresql://{user}:{PASSWORD}@{host}:{}/{user}?{parameters}", self.port)
    }

    /// Returns the settings for a user, with parameters of the address.
    pub fn settings(&self, host: &str, user: &str, parameters: &str) -> DatabaseSettings {
        let url = Secret::new(self.url(host, user, parameters));
        DatabaseSettings { url, ..DatabaseSettings::default() }
    }

    /// Has the server show another certificate to whoever connects from now on.
    pub fn renew(&self, shown: &Pair) {
        self.show(shown);
        self.reload();
    }

    /// Turns TLS on or off for whoever connects from now on.
    pub fn switch_tls(&self, on: bool) {
        self.sql("postgres", &format!("alter system set ssl = {}", if on { "on" } else { "off" }));
        self.reload();
    }

    /// Ends all sessions of users, so that they connect again.
    pub fn end_sessions(&self) {
        let others = "select pg_terminate_backend(pid) from pg_stat_activity where usename <> 'owner'";
        self.sql("postgres", others);
    }

    /// Returns what a query in a database gives, as psql prints it.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let port = self.port.to_string();
        let home = self.data().parent().unwrap().to_owned();
        let output = self
            .command("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "owner", "-p", &port, "-d", database])
            .args(["-h", home.to_str().unwrap(), "-c", statement])
            .output()
            .unwrap();
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A reload is taken up in the server's own time; the processes that come after it know the new settings.
    fn reload(&self) {
        let before = self.sql("postgres", "select pg_conf_load_time()");
        self.run("pg_ctl", &["reload", "-s"]);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(90);
        while self.sql("postgres", "select pg_conf_load_time()") == before {
            assert!(std::time::Instant::now() < deadline, "the server does not take up its settings");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn show(&self, shown: &Pair) {
        self.write("server.pem", &std::fs::read(&shown.certificate).unwrap());
        self.write("server.key", &std::fs::read(&shown.key).unwrap());
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("home/data")
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.data().join(file);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        self.give_away(&path);
    }

    fn give_away(&self, path: &Path) {
        if let Some((_, id)) = self.user {
            chown(path, Some(id), None).unwrap();
        }
    }

    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = match self.user {
            None => Command::new(path),
            Some((user, _)) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(path);
                command
            }
        };
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        command.current_dir("/");
        command
    }

    /// Runs a program of the server on its data. What it says goes to a file: a server that it starts would
    /// keep a pipe open.
    fn run(&self, program: &str, arguments: &[&str]) {
        let said = self.folder.path().join("said");
        let file = std::fs::File::create(&said).unwrap();
        let mut command = self.command(program);
        command.args(arguments).arg("-D").arg(self.data());
        let status = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        let log = std::fs::read_to_string(self.data().with_file_name("log")).unwrap_or_default();
        assert!(status.success(), "{program}: {}\n{log}", std::fs::read_to_string(&said).unwrap());
    }
}

impl Drop for SecurePostgres {
    fn drop(&mut self) {
        let _ =
            self.command("pg_ctl").args(["stop", "-s", "-m", "immediate", "-D"]).arg(self.data()).status();
    }
}

/// Finds the newest PostgreSQL of this machine.
fn programs() -> PathBuf {
    let below = |folder: &str| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = below("/usr/lib/postgresql")
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .chain(below("/usr").filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix("pgsql-")?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        }))
        .filter(|(_, programs)| programs.join("initdb").exists())
        .collect();
    found.sort();
    if let Some((_, programs)) = found.pop() {
        return programs;
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).find(|folder| folder.join("initdb").exists());
    found.expect("no PostgreSQL on this machine; install it: sudo apt-get install postgresql")
}

/// Returns another user than root, where this is root.
fn other_user() -> Option<(&'static str, u32)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    ["postgres", "nobody"].into_iter().find_map(|user| Some((user, id(&["-u", user])?)))
}
