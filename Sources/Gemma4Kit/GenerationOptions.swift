/// How an answer is made.
public struct GenerationOptions: Sendable {
    public var sampling: SamplingOptions
    /// The answer ends after so many tokens at the latest.
    public var maxTokens: Int
    /// Ends an answer that goes round in a circle; nil lets it go on.
    public var loopGuard: LoopGuard?
    /// Called while the prompt is read: tokens read so far, tokens in all.
    public var onPrefill: (@Sendable (_ read: Int, _ total: Int) -> Void)?

    public init(
        sampling: SamplingOptions = .greedy, maxTokens: Int = 1024, loopGuard: LoopGuard? = .init(),
        onPrefill: (@Sendable (_ read: Int, _ total: Int) -> Void)? = nil
    ) {
        self.sampling = sampling
        self.maxTokens = maxTokens
        self.loopGuard = loopGuard
        self.onPrefill = onPrefill
    }
}
