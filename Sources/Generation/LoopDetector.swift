/// The limits at which an answer counts as an endless repetition and is ended.
///
/// An answer is ended if its last tokens are at least `fewestRounds` repetitions of one sequence and at least
/// `fewestTokens` tokens. Both limits are more than lists, tables, refrains and numbers such as 5 5 5 5 need.
public struct LoopGuard: Sendable, Equatable {
    /// Rounds of the same tokens that end an answer.
    public var fewestRounds: Int
    /// Tokens that the rounds have together at least.
    public var fewestTokens: Int

    /// Both conditions have to hold.
    public init(fewestRounds: Int = 8, fewestTokens: Int = 200) {
        precondition(fewestRounds >= 2, "fewestRounds \(fewestRounds)")
        self.fewestRounds = fewestRounds
        self.fewestTokens = fewestTokens
    }

    /// For 30 s of speech, in which a speaker does not repeat 96 tokens. Forty digits are 80 tokens.
    public static let transcript = LoopGuard(fewestRounds: 6, fewestTokens: 96)
}

/// Detects endless repetition in the tokens of one answer.
struct LoopDetector: Sendable {
    /// The longest period that is detected.
    private static let longestPeriod = 128

    private let limits: LoopGuard
    private var tokens: [Int] = []
    /// For each period p, the number of consecutive tokens at the end that equal the token p positions before them.
    private var runs = [Int](repeating: 0, count: longestPeriod + 1)

    init(_ limits: LoopGuard) { self.limits = limits }

    /// - Returns: the tokens of the answer that only repeat the preceding ones, once the limits are reached.
    mutating func append(_ token: Int) -> Range<Int>? {
        tokens.append(token)
        for period in 1...Self.longestPeriod where period < tokens.count {
            runs[period] = tokens[tokens.count - 1 - period] == token ? runs[period] + 1 : 0
        }
        let circle = runs.indices.dropFirst().first {
            runs[$0] + $0 >= max(limits.fewestTokens, limits.fewestRounds * $0)
        }
        return circle.map { tokens.count - runs[$0]..<tokens.count }
    }
}
