/// Where the time of one answer went.
public struct GenerationStatistics: Sendable, Equatable, Codable {
    /// Tokens of the prompt that this answer had to read; see `cachedTokens`.
    public var promptTokens = 0
    /// Tokens of the prompt whose keys and values an earlier sequence had left, or a running one shares.
    public var cachedTokens = 0
    public var generatedTokens = 0
    /// Tokens that were guessed and verified, and how many of these were right.
    public var draftedTokens = 0, acceptedTokens = 0
    /// Pictures and sound to soft tokens; 0 for those that had been encoded before.
    public var encodeSeconds = 0.0
    /// The prompt, up to the first token.
    public var prefillSeconds = 0.0
    /// All tokens after the first.
    public var decodeSeconds = 0.0

    public init() {}

    public var prefillTokensPerSecond: Double { prefillSeconds > 0 ? Double(promptTokens) / prefillSeconds : 0 }
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
