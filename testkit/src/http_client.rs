//! The one HTTP client of the tests.

use std::sync::LazyLock;

/// Returns the client that tests ask HTTP servers with. It reads no certificates, which takes a client
/// without optimisation longer than a hundred answers, and keeps no connection, which would belong to another
/// test's runtime.
pub fn http_client() -> reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let builder = reqwest::Client::builder().tls_built_in_root_certs(false);
        builder.pool_max_idle_per_host(0).build().expect("a client without certificates")
    });
    CLIENT.clone()
}
