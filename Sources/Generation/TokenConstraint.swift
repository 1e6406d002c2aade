import Grammar

/// What restricts the tokens of an answer, for example a grammar.
package protocol TokenConstraint: Sendable {
    /// The tokens that may come next; nil: all.
    func allowed() -> TokenMask?
    /// Whether every token may come next.
    var isFree: Bool { get }
    /// Whether a token may come next that `allowed` holds: a mask may hold a few too many.
    func accepts(_ token: Int) -> Bool
    /// Takes the chosen token.
    mutating func accept(_ token: Int)
    /// The tokens that must come next, whatever the model would say; none where it has a choice.
    func forced(encode: (String) -> [Int]) -> [Int]
    /// Whether the answer must end here.
    var isComplete: Bool { get }
}
