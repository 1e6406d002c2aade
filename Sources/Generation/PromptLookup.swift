/// Guesses what comes next from what has been: after a run of tokens that the prompt or the answer holds already, the
/// tokens that followed it there.
///
/// Source: Saxena, "Prompt Lookup Decoding", 2023; the follow-up of a match is kept for as long as it is right.
struct PromptLookup: Sendable {
    /// Tokens that must be equal before a place is taken for the same.
    private static let runLength = 3

    private var tokens: [Int] = []
    /// For each run the place after its last occurrence.
    private var places: [Run: Int] = [:]
    /// Where the next token is expected to stand, if anywhere.
    private var match: Int?
    /// The share of guesses that were right: a running mean, the last ones counting most.
    private(set) var acceptance = 0.5

    private struct Run: Hashable {
        let first, second, third: Int32
    }

    /// - Parameter prompt: its token ids.
    init(_ prompt: [Int]) {
        places.reserveCapacity(prompt.count)
        for token in prompt { append(token, isGuessed: false) }
    }

    /// Takes the token that came.
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

    /// At most `count` tokens that may come next.
    func guesses(_ count: Int) -> ArraySlice<Int> {
        match.map { tokens[$0..<min($0 + count, tokens.count)] } ?? []
    }
}

/// How many guesses are verified: as many as make the running answers fastest on this machine, and none where they cost
/// more than they bring.
struct Speculation {
    /// Rows of a pass up to which its results do not depend on them, whatever the weights.
    static let mostRows = 16
    /// Guesses of one answer.
    static let mostGuesses = 8

    /// Rows of the pass so far, and the tokens that they are expected to bring.
    private var rows: Int
    private var tokens: Double

    /// - Parameters:
    ///   - rows: of the running answers without guesses.
    ///   - answers: how many there are.
    init(rows: Int, answers: Int) { (self.rows, self.tokens) = (rows, Double(answers)) }

    /// Takes guesses of one answer into the pass.
    ///
    /// With acceptance a, of k guesses a + a² + … + aᵏ are right.
    ///
    /// - Parameters:
    ///   - most: guesses that there are.
    ///   - seconds: what a pass of so many rows takes.
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
