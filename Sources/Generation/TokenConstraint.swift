import Grammar

/// A constraint on the tokens of an answer, for example a grammar.
package protocol TokenConstraint: Sendable {
    /// The tokens allowed next; nil: all.
    func allowed() -> TokenMask?
    /// Whether every token is allowed next.
    var isFree: Bool { get }
    /// Whether a token of `allowed` is accepted: the mask may contain false positives.
    func accepts(_ token: Int) -> Bool
    /// Advances by the chosen token.
    mutating func accept(_ token: Int)
    /// The tokens that must come next; empty if the model has a choice.
    func forced(encode: (String) -> [Int]) -> [Int]
    /// Whether the answer must end here.
    var isComplete: Bool { get }
}
