//! The names of headers, addresses and fields by which requests that quote are known.

/// Headers with which a service signs or names what it sends.
pub(super) const WEBHOOKS: [&str; 26] = [
    "x-github-event",
    "x-gitlab-event",
    "x-gitea-event",
    "x-gogs-event",
    "x-forgejo-event",
    "x-event-key",
    "x-hub-signature-256",
    "stripe-signature",
    "x-slack-signature",
    "x-shopify-hmac-sha256",
    "x-twilio-signature",
    "sentry-hook-resource",
    "x-atlassian-webhook-identifier",
    "x-line-signature",
    "bugsnag-api-key",
    "x-sentry-auth",
    "dd-api-key",
    "x-telegram-bot-api-secret-token",
    "x-signature-ed25519",
    "svix-signature",
    "webhook-signature",
    "x-zm-signature",
    "x-discourse-event",
    "x-docusign-signature-1",
    "paypal-transmission-sig",
    "x-square-hmacsha256-signature",
];
/// Ends of the paths at which collectors of logs, traces and errors receive them.
pub(super) const COLLECTORS: [&str; 18] = [
    "/_bulk",
    "/loki/api/v1/push",
    "/api/v1/push",
    "/api/v1/write",
    "/api/v2/write",
    "/v1/logs",
    "/v1/traces",
    "/v1/metrics",
    "/services/collector",
    "/services/collector/event",
    "/services/collector/raw",
    "/api/v2/logs",
    "/insert/jsonline",
    "/insert/elasticsearch/_bulk",
    "/gelf",
    "/envelope/",
    "/store/",
    "/logs/ingest",
];
/// Parts of a forge's address that stand before the name of a file.
pub(super) const FORGES: [&str; 10] = [
    "/-/raw/",
    "/-/blob/",
    "/-/tree/",
    "/-/blame/",
    "/-/commits/",
    "/src/branch/",
    "/src/commit/",
    "/raw/branch/",
    "/blob/",
    "/tree/",
];
/// Fields with the text of a message.
pub(super) const MESSAGES: [&str; 5] = ["body", "text", "message", "content", "msg"];
/// Parts of an address where people write to each other.
pub(super) const TALKS: [&str; 6] = [
    "/chat/",
    "/messages",
    "/comments",
    "/notes",
    "/posts",
    "/snippets",
];
/// Fields that name the receiver or the sender of a message.
pub(super) const RECEIVERS: [&str; 7] = [
    "to",
    "from",
    "recipient",
    "phone",
    "number",
    "channel",
    "chat_id",
];

/// Ends of the paths at which programs send a text to a language model: Ollama's own interface and
/// OpenAI's.
pub(super) const MODELS: [&str; 6] = [
    "/api/generate",
    "/api/chat",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/messages",
    "/v1/responses",
];
/// Fields with the text for a language model.
pub(super) const PROMPTS: [&str; 3] = ["prompt", "messages", "input"];
