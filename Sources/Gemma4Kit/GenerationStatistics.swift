/// Where the time of one answer went.
public struct GenerationStatistics: Sendable, Equatable, Codable {
    /// Tokens of the prompt that this answer had to read; those of earlier turns are in the cache.
    public var promptTokens = 0
    public var generatedTokens = 0
    /// Pictures and sound to soft tokens.
    public var encodeSeconds = 0.0
    /// The prompt, up to the first token.
    public var prefillSeconds = 0.0
    /// All tokens after the first.
    public var decodeSeconds = 0.0

    public var prefillTokensPerSecond: Double { prefillSeconds > 0 ? Double(promptTokens) / prefillSeconds : 0 }
    public var decodeTokensPerSecond: Double {
        decodeSeconds > 0 ? Double(max(0, generatedTokens - 1)) / decodeSeconds : 0
    }

    static func += (sum: inout GenerationStatistics, part: GenerationStatistics) {
        sum.promptTokens += part.promptTokens
        sum.generatedTokens += part.generatedTokens
        sum.encodeSeconds += part.encodeSeconds
        sum.prefillSeconds += part.prefillSeconds
        sum.decodeSeconds += part.decodeSeconds
    }
}
