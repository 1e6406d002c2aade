/// Token counts and timings of one answer.
public struct GenerationStatistics: Sendable, Equatable, Codable {
    /// Prompt tokens that were prefilled; see `cachedTokens`.
    public var promptTokens = 0
    /// Prompt tokens whose keys and values were reused from an earlier sequence or are shared with a running one.
    public var cachedTokens = 0
    /// Tokens of the answer.
    public var generatedTokens = 0
    /// Draft tokens that were verified, and the number of accepted ones.
    public var draftedTokens = 0, acceptedTokens = 0
    /// Encoding of images and sound; 0 for media that had been encoded before.
    public var encodeSeconds = 0.0
    /// Prefill, up to the first token.
    public var prefillSeconds = 0.0
    /// Decode: all tokens after the first.
    public var decodeSeconds = 0.0

    /// Zero of everything.
    public init() {}

    /// Speed of the prompt, without cached tokens; 0 if no time was taken.
    public var prefillTokensPerSecond: Double { prefillSeconds > 0 ? Double(promptTokens) / prefillSeconds : 0 }
    /// Speed of the answer after its first token; 0 if there is no other.
    public var decodeTokensPerSecond: Double {
        decodeSeconds > 0 ? Double(max(0, generatedTokens - 1)) / decodeSeconds : 0
    }

    package static func += (sum: inout GenerationStatistics, part: GenerationStatistics) {
        sum.promptTokens += part.promptTokens
        sum.cachedTokens += part.cachedTokens
        sum.generatedTokens += part.generatedTokens
        sum.draftedTokens += part.draftedTokens
        sum.acceptedTokens += part.acceptedTokens
        sum.encodeSeconds += part.encodeSeconds
        sum.prefillSeconds += part.prefillSeconds
        sum.decodeSeconds += part.decodeSeconds
    }
}

extension Duration {
    package var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
