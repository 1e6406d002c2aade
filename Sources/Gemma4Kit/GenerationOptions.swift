/// How an answer is made.
public struct GenerationOptions: Sendable {
    public var sampling: SamplingOptions
    /// The answer ends after so many tokens at the latest.
    public var maxTokens: Int
    /// Called while the prompt is read: tokens read so far, tokens in all.
    public var onPrefill: (@Sendable (_ read: Int, _ total: Int) -> Void)?

    public init(
        sampling: SamplingOptions = .greedy, maxTokens: Int = 1024,
        onPrefill: (@Sendable (_ read: Int, _ total: Int) -> Void)? = nil
    ) {
        self.sampling = sampling
        self.maxTokens = maxTokens
        self.onPrefill = onPrefill
    }
}
