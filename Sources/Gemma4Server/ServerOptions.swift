import Foundation

/// What a server tells of itself, and what it takes.
public struct ServerOptions: Sendable {
    /// What `/v1/models` and every answer call the model. Requests may name any: there is one.
    public var modelName: String
    /// Most bytes of a request in JSON, its pictures and sound in base64 included.
    public var bodyBytes = 64 << 20
    /// Most bytes of a form with a recording, which goes to disk.
    public var uploadBytes = 2 << 30
    /// Most bytes of the files that clients leave for later requests.
    public var storedBytes = 4 << 30
    /// Whose media are fetched where messages name them by an `http:` or `https:` address; others are refused.
    public var mediaHosts: [MediaHost] = []
    /// Most media that are fetched for one request, most bytes of each, and most seconds for each.
    public var fetchedMedia = 16, fetchedBytes = 64 << 20, fetchSeconds = 30
    /// The folder below which messages may name media by `file:` URLs; nil: nowhere.
    public var mediaRoot: URL?
    /// Most pixels of a picture; a larger one is refused before it is decoded.
    public var imagePixels = 50_000_000
    /// Most tokens of a prompt, its media included; nil: as many as the context holds.
    public var promptTokens: Int?
    /// Longest recording, in seconds; nil: any that is transcribed, and six hours of others.
    public var recordingSeconds: Double?
    /// Most tokens of one answer; nil: as many as the context holds.
    public var maxTokens: Int?
    /// Tokens of an answer whose request does not say how many.
    public var defaultMaxTokens = 4096
    /// Answers that are written or wait at once; a request beyond them is refused with status 429. Batch keys may
    /// take three quarters of them. The engine's limits say how many are written.
    public var answers = 80
    /// Of them, most of one key; nil: all.
    public var answersPerKey: Int?
    /// While an answer that is streamed has not begun, its client hears so often that it is still waited for.
    public var pulse = Duration.seconds(10)
    /// Of `/v1/realtime`: most bytes of a message, sound in base64 included.
    public var realtimeMessageBytes = 16 << 20
    /// Most seconds of sound whose end the client has not said yet.
    public var realtimeBufferSeconds = 600
    /// A socket at which nothing arrives for so long is closed.
    public var realtimeIdle = Duration.seconds(300)
    /// Whether the model thinks before it answers where a request does not say.
    public var thinking = false

    /// Whose clients alone are answered; nil answers everybody.
    public var keys: APIKeys?
    /// Web pages whose scripts may ask, such as `https://example.com`; `*`: all.
    public var origins: [String] = []
    /// Speaks TLS.
    public var certificate: ServerCertificate?

    public init(modelName: String) { self.modelName = modelName }
}
