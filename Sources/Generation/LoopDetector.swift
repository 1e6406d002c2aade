/// When an answer counts as going round in a circle, and is ended.
///
/// The end of the answer is looked at: so many tokens at least, that are so many rounds at least of the same tokens. Both
/// numbers are more than lists, tables, refrains and numbers such as 5 5 5 5 need.
public struct LoopGuard: Sendable, Equatable {
    public var fewestRounds: Int
    public var fewestTokens: Int

    public init(fewestRounds: Int = 8, fewestTokens: Int = 200) {
        precondition(fewestRounds >= 2, "fewestRounds \(fewestRounds)")
        self.fewestRounds = fewestRounds
        self.fewestTokens = fewestTokens
    }

    /// For what is said within 30 s: nobody says 96 tokens in a circle in that time. Forty digits are 80 tokens.
    public static let transcript = LoopGuard(fewestRounds: 6, fewestTokens: 96)
}

/// Watches the tokens of one answer.
struct LoopDetector: Sendable {
    /// The longest circle that is noticed.
    private static let longestPeriod = 128

    private let limits: LoopGuard
    private var tokens: [Int] = []
    /// For each period: how many tokens at the end equal the one that many before them.
    private var runs = [Int](repeating: 0, count: longestPeriod + 1)

    init(_ limits: LoopGuard) { self.limits = limits }

    /// - Returns: the tokens of the answer that merely repeat what stands before them, once the limits are reached.
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
