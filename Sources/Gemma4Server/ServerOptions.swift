import Foundation

/// Name, limits and access rules of a server.
public struct ServerOptions: Sendable {
    /// The model's name in `/v1/models` and in every answer. Requests may name any model: there is only one.
    public var modelName: String
    /// Maximum size of a JSON request in bytes, including base64 images and sound.
    public var bodyBytes = 64 << 20
    /// Maximum size of a form with a recording, in bytes; it is stored on disk.
    public var uploadBytes = 2 << 30
    /// Maximum total size of uploaded files, in bytes.
    public var storedBytes = 4 << 30
    /// Hosts from which media in messages are fetched by `http:` or `https:`; others are refused.
    public var mediaHosts: [MediaHost] = []
    /// Maximum number of media fetched per request, maximum bytes and maximum seconds of each.
    public var fetchedMedia = 16, fetchedBytes = 64 << 20, fetchSeconds = 30
    /// The folder below which messages may name media by `file:` URLs; nil: none.
    public var mediaRoot: URL?
    /// Maximum pixels of an image; larger ones are refused before they are decoded.
    public var imagePixels = 50_000_000
    /// Maximum tokens of a prompt, media included; nil: limited by the context only.
    public var promptTokens: Int?
    /// Maximum duration of a recording, in seconds; nil: unlimited for transcriptions, six hours otherwise.
    public var recordingSeconds: Double?
    /// Maximum number of tokens of an answer; nil: limited by the context only.
    public var maxTokens: Int?
    /// Maximum number of tokens of an answer if the request has none.
    public var defaultMaxTokens = 4096
    /// Maximum number of answers in progress or waiting; further requests are refused with status 429. Batch keys may
    /// use three quarters of them. The engine's limits determine how many are in progress.
    public var answers = 80
    /// Maximum number of answers per key; nil: no separate limit.
    public var answersPerKey: Int?
    /// Interval of keep-alive comments while a streamed answer has not begun.
    public var pulse = Duration.seconds(10)
    /// `/v1/realtime`: maximum size of a message in bytes, including base64 sound.
    public var realtimeMessageBytes = 16 << 20
    /// Maximum number of seconds of sound that are not committed.
    public var realtimeBufferSeconds = 600
    /// A socket that receives nothing for this time is closed.
    public var realtimeIdle = Duration.seconds(300)
    /// Whether the model thinks before it answers if the request does not say.
    public var thinking = false

    /// The accepted keys; nil: no authentication.
    public var keys: APIKeys?
    /// Origins of web pages whose scripts may send requests (CORS), such as `https://example.com`; `*`: all.
    public var origins: [String] = []
    /// Enables TLS.
    public var certificate: ServerCertificate?

    /// The default options of a server for one model.
    public init(modelName: String) { self.modelName = modelName }
}
