//! Who may log in to a private server and how: certificates, `pg_hba.conf`, password files.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use dunlin::demo::Server;
use tempfile::TempDir;

use super::wait::wait_until;

/// The name of certificates for the server; tests give `127.0.0.1` as its address.
pub const SERVER_NAME: &str = "db.example";

/// Words of `openssl req` for a key that is made in no time.
pub const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

/// A certificate authority of its own, in a folder of its own.
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    /// Makes its key and its certificate.
    pub fn create() -> Authority {
        let folder = tempfile::tempdir().unwrap();
        shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
                 -subj /CN=authority -keyout authority.key -out authority.crt 2>/dev/null",
            folder.path(),
        );
        Authority { folder }
    }

    /// Its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.file("authority.crt")
    }

    /// A file of its folder, such as `NAME.crt` or `NAME.key` of an issued certificate.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Issues `NAME.crt` with `NAME.key` for a common name; `kind` are words of `openssl req` for
    /// the key, `extensions` those of the certificate, which may be none.
    pub fn issue(&self, name: &str, common_name: &str, kind: &str, extensions: &str) {
        shell(
            &format!(
                "printf '%s' '{extensions}' > {name}.ext
                 openssl req -newkey {kind} -nodes -subj '/CN={common_name}' \
                     -keyout {name}.key -out {name}.csr 2>/dev/null
                 openssl x509 -req -in {name}.csr -CA authority.crt -CAkey authority.key \
                     -CAcreateserial -days 1 -extfile {name}.ext -out {name}.crt 2>/dev/null"
            ),
            self.folder.path(),
        );
    }

    /// Makes `NAME.crt`, which is its own root, with `NAME.key`.
    pub fn sign_own(&self, name: &str, common_name: &str, kind: &str) {
        shell(
            &format!(
                "openssl req -x509 -newkey {kind} -nodes -days 1 -subj '/CN={common_name}' \
                     -keyout {name}.key -out {name}.crt 2>/dev/null"
            ),
            self.folder.path(),
        );
    }

    /// Makes `NAME.crt` of X.509 version 1, without extensions, with `NAME.key`.
    pub fn issue_version_one(&self, name: &str, common_name: &str, kind: &str) {
        shell(
            &format!(
                "openssl req -newkey {kind} -nodes -subj '/CN={common_name}' \
                     -keyout {name}.key -out {name}.csr 2>/dev/null
                 openssl x509 -req -in {name}.csr -CA authority.crt -CAkey authority.key \
                     -CAcreateserial -days 1 -out {name}.crt 2>/dev/null"
            ),
            self.folder.path(),
        );
    }

    /// Issues a certificate that names the server, and makes the server offer TLS with it.
    pub async fn secure(&self, server: &Server) {
        let names = format!("subjectAltName=DNS:{SERVER_NAME}");
        self.issue("server", SERVER_NAME, P256, &names);
        offer_tls(server, &self.file("server.crt"), &self.file("server.key")).await;
        let authority = self.certificate();
        shell(&format!("cat {} > authority.crt", authority.display()), &server.data());
        alter(server, "ALTER SYSTEM SET ssl_ca_file = 'authority.crt'").await;
    }
}

/// Makes a server offer TLS with this certificate from its next connection on.
pub async fn offer_tls(server: &Server, certificate: &Path, key: &Path) {
    shell(
        &format!(
            "cat {} > server.crt; rm -f server.key; (umask 077; cat {} > server.key)
             chown --reference PG_VERSION server.key server.crt",
            certificate.display(),
            key.display()
        ),
        &server.data(),
    );
    alter(server, "ALTER SYSTEM SET ssl = on").await;
}

/// Puts lines before those of `pg_hba.conf`; they count from the next connection on.
pub async fn put_login_rules(server: &Server, lines: &str) {
    let path = server.data().join("pg_hba.conf");
    let rest = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{lines}\n{rest}")).unwrap();
    reload(server).await;
}

/// A password file that only this user may read.
pub fn password_file(folder: &Path, lines: impl Display) -> PathBuf {
    let path = folder.join("passwords");
    fs::write(&path, "").unwrap();
    shell("chmod 600 passwords", folder);
    fs::write(&path, lines.to_string()).unwrap();
    path
}

/// Runs a script in a folder; panics with what it said when it fails.
pub fn shell(script: &str, folder: &Path) {
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Changes a setting of the server, which is in force when this returns.
pub async fn alter(server: &Server, statement: &str) {
    let client = server.connect("postgres").await.unwrap();
    client.batch_execute(statement).await.unwrap();
    reload(server).await;
}

/// Has the configuration read again. New sessions come from the server's first process, so they
/// show whether that one has read it.
async fn reload(server: &Server) {
    let client = server.connect("postgres").await.unwrap();
    let before = load_time(server).await;
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    wait_until("the configuration is read", async || load_time(server).await > before).await;
}

async fn load_time(server: &Server) -> SystemTime {
    let client = server.connect("postgres").await.unwrap();
    client.query_one("SELECT pg_conf_load_time()", &[]).await.unwrap().get(0)
}
