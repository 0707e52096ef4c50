//! Lets only those with the token in, where one is set.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, web};
use subtle::ConstantTimeEq as _;

use super::ControlState;
use super::problem::Problem;

/// Refuses a request without the bearer token before anything else of it is looked at.
pub async fn require_token(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let expected =
        request.app_data::<web::Data<ControlState>>().and_then(|state| state.settings.http.token.clone());
    if let Some(expected) = expected {
        let given = request.headers().get(AUTHORIZATION).map(|value| bearer(value.as_bytes()));
        let matches = given.flatten().is_some_and(|token| token.ct_eq(expected.expose().as_bytes()).into());
        if !matches {
            let problem = Problem::unauthorized(given.is_some());
            return Ok(request.error_response(problem));
        }
    }
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}

/// Takes the token out of `Bearer TOKEN`; the scheme's name has no case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn only_a_bearer_token_is_one() {
        assert_eq!(bearer(b"Bearer abc"), Some(b"abc".as_slice()));
        assert_eq!(bearer(b"bearer  abc "), Some(b"abc".as_slice()));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bear"), None);
    }
}
