//! Settings of the commands that ask a running service.

use super::form::ServiceUrl;
use super::section::settings;

settings! {
    /// Where the commands that ask a running service find it.
    ClientSettings "client" {
        url: String = "http://127.0.0.1:8311".to_owned(), ServiceUrl,
            "Where `poll`, `status` and `health` find the service.",
            "They speak HTTP.";
    }
}
