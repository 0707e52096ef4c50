//! A small client that walks as the pipeline does: page by page, each from the last row of the one before.

use jiff::Timestamp;
use nyc311_simulator::Simulator;
use serde_json::Value;

pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// The rows of an answer, byte for byte, and what its headers say.
pub struct Page {
    pub rows: Vec<Vec<u8>>,
    pub answered_at: Timestamp,
    /// A replica answered that lags.
    pub out_of_date: bool,
}

/// `:updated_at` and `:id` of a row, as it has them.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    updated_at: String,
    id: String,
}

pub fn client(simulator: &Simulator) -> Client {
    Client { http: reqwest::Client::new(), url: simulator.resource_url() }
}

impl Client {
    /// Fetches the first rows in the source's order.
    pub async fn fetch_page(&self, limit: usize) -> Page {
        self.fetch(None, limit).await
    }

    async fn fetch(&self, after: Option<&Place>, limit: usize) -> Page {
        let limit = limit.to_string();
        let mut query = vec![("$select", ":*,*"), ("$order", ":updated_at,:id"), ("$limit", limit.as_str())];
        let filter = after.map(|Place { updated_at, id }| {
            format!(":updated_at >= '{updated_at}' AND (:updated_at > '{updated_at}' OR :id > '{id}')")
        });
        if let Some(filter) = &filter {
            query.push(("$where", filter));
        }
        let answer = self.http.get(&self.url).query(&query).send().await.unwrap().error_for_status().unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let date = jiff::fmt::rfc2822::parse(&header("Date").unwrap()).unwrap();
        let out_of_date = header("X-SODA2-Data-Out-Of-Date").as_deref() == Some("true");
        let body = answer.bytes().await.unwrap();
        let places = nyc311_json::elements(&body).unwrap();
        let rows = places.into_iter().map(|place| body[place].to_vec()).collect();
        Page { rows, answered_at: date.timestamp(), out_of_date }
    }
}

/// Returns the place of the last row that one can go on from.
fn place(page: &Page) -> Option<Place> {
    page.rows.iter().rev().find_map(|row| {
        let row: Value = serde_json::from_slice(row).ok()?;
        row.get("unique_key")?;
        let text = |name: &str| row.get(name)?.as_str().map(str::to_owned);
        Some(Place { updated_at: text(":updated_at")?, id: text(":id")? })
    })
}

/// Walks to the first page that is shorter than the limit.
pub async fn walk(client: &Client, limit: usize) -> Vec<Vec<u8>> {
    let mut after = None;
    let mut rows = Vec::new();
    loop {
        let page = client.fetch(after.as_ref(), limit).await;
        let next = place(&page);
        let is_last = page.rows.len() < limit;
        rows.extend(page.rows);
        if is_last {
            return rows;
        }
        assert_ne!(next, after, "the page does not advance");
        after = next;
    }
}
