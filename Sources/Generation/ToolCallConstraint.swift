import Grammar

/// Leaves an answer free until it begins a call, and holds that to the tools that exist and to the schemas of their arguments.
struct ToolCallConstraint: TokenConstraint {
    private let matcher: GrammarMatcher
    private let callStart: Int
    /// Within a call.
    private var state: GrammarState?

    /// - Parameters:
    ///   - matcher: of one call, its end marker included.
    ///   - callStart: the id of `<|tool_call>`.
    init(_ matcher: GrammarMatcher, callStart: Int) { (self.matcher, self.callStart) = (matcher, callStart) }

    var isFree: Bool { state == nil }

    func allowed() -> TokenMask? { state?.mask }

    func accepts(_ token: Int) -> Bool {
        guard var next = state else { return true }
        return next.advance(token: token)
    }

    mutating func accept(_ token: Int) {
        guard var next = state else {
            if token == callStart { state = matcher.start }
            return
        }
        state = next.advance(token: token) && !next.isFinal ? next : nil
    }

    func forced(encode: (String) -> [Int]) -> [Int] { state?.forcedTokens(encode: encode) ?? [] }

    var isComplete: Bool { false }
}
