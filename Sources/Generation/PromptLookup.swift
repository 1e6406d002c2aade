/// Proposes draft tokens: after an n-gram that already occurs in the prompt or the answer, the tokens that followed
/// it there.
///
/// Source: Saxena, "Prompt Lookup Decoding", 2023; a match is followed as long as its tokens are right.
struct PromptLookup: Sendable {
    /// Length of the n-gram that must match.
    private static let runLength = 3

    private var tokens: [Int] = []
    /// For each n-gram, the position after its last occurrence.
    private var places: [Run: Int] = [:]
    /// The position whose token is expected next, if any.
    private var match: Int?
    /// The acceptance rate of draft tokens: an exponential moving average.
    private(set) var acceptance = 0.5

    private struct Run: Hashable {
        let first, second, third: Int32
    }

    /// - Parameter prompt: its token ids.
    init(_ prompt: [Int]) {
        places.reserveCapacity(prompt.count)
        for token in prompt { append(token, isGuessed: false) }
    }

    /// Appends the token that was generated.
    mutating func append(_ token: Int) { append(token, isGuessed: true) }

    private mutating func append(_ token: Int, isGuessed: Bool) {
        let wasRight = match.map { tokens[$0] == token }
        if isGuessed, let wasRight { acceptance = 0.8 * acceptance + (wasRight ? 0.2 : 0) }
        tokens.append(token)
        let end = tokens.count
        guard end >= Self.runLength else { return }
        let run = Run(
            first: Int32(truncatingIfNeeded: tokens[end - 3]), second: Int32(truncatingIfNeeded: tokens[end - 2]),
            third: Int32(truncatingIfNeeded: token))
        match = wasRight == true ? match! + 1 : places[run]
        places[run] = end
    }

    /// At most `count` draft tokens.
    func guesses(_ count: Int) -> ArraySlice<Int> {
        match.map { tokens[$0..<min($0 + count, tokens.count)] } ?? []
    }
}

/// Chooses the number of draft tokens to verify: the number that makes the running answers fastest on this machine,
/// none if verification costs more than it gains.
struct Speculation {
    /// The number of rows of a pass up to which results do not depend on the number of rows, for any weights.
    static let mostRows = 16
    /// Maximum draft tokens per answer.
    static let mostGuesses = 8

    /// Rows of the pass so far, and the expected number of tokens that it yields.
    private var rows: Int
    private var tokens: Double

    /// - Parameters:
    ///   - rows: the rows of the running answers without draft tokens.
    ///   - answers: the number of running answers.
    init(rows: Int, answers: Int) { (self.rows, self.tokens) = (rows, Double(answers)) }

    /// Adds draft tokens of one answer to the pass.
    ///
    /// With acceptance rate a, a + a² + … + aᵏ of k draft tokens are expected to be right.
    ///
    /// - Parameters:
    ///   - most: the number of available draft tokens.
    ///   - seconds: the duration of a pass with that number of rows.
    mutating func add(most: Int, acceptance: Double, seconds: (_ rows: Int) -> Double) -> Int {
        var (best, rate, brought) = (0, tokens / seconds(rows), 0.0)
        var (right, expected) = (1.0, 0.0)
        for count in 1..<max(1, 1 + min(most, Self.mostGuesses, Self.mostRows - rows)) {
            right *= acceptance
            expected += right
            let candidate = (tokens + expected) / seconds(rows + count)
            if candidate > rate { (best, rate, brought) = (count, candidate, expected) }
        }
        rows += best
        tokens += brought
        return best
    }
}
