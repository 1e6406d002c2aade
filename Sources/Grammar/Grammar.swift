import JSONText

/// A compiled constraint on answers: a pushdown automaton over bytes.
package struct Grammar: Sendable {
    let network: Network

    init(_ network: Network) { self.network = network }

    /// - Parameter regularExpression: must match the whole answer; syntax of ECMA-262.
    /// - Throws: `GrammarError`.
    package init(regularExpression text: String) throws(GrammarError) {
        let expression = try RegularExpression(parsing: text)
        self = try CompilationEffort.limit { () throws(GrammarError) in
            try Grammar(subject: "regular expression") { () throws(ByteAutomaton.StateLimit) in
                try ByteAutomaton(expression, .utf8)
            }
        }
    }

    /// - Parameter choices: the answer is exactly one of these.
    /// - Throws: `GrammarError` if there is none.
    package init(choices: [String]) throws(GrammarError) {
        guard !choices.contains("") else {
            throw GrammarError(
                .syntax, "choices", place: "choice \(choices.firstIndex(of: "")! + 1)",
                expected: "a text", found: "an empty one")
        }
        try self.init(subject: "choices") { () throws(ByteAutomaton.StateLimit) in
            ByteAutomaton(texts: choices.map { Array($0.utf8) })
        }
    }

    private init(
        subject: String, _ automaton: () throws(ByteAutomaton.StateLimit) -> ByteAutomaton
    ) throws(GrammarError) {
        var builder = NetworkBuilder()
        do {
            guard let start = builder.rule(try automaton()), let network = builder.network(start: start) else {
                throw GrammarError(
                    .unsatisfiable, subject, place: "whole", expected: "some text that matches", found: "none")
            }
            self.network = network
        } catch let error as GrammarError {
            throw error
        } catch {
            throw GrammarError(
                .tooLarge, subject, place: "whole", expected: "at most 200000 states", found: "more")
        }
    }
}
