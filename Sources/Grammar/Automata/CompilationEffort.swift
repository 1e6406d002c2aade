import Synchronization

/// The work budget for compiling one grammar. A line of a regular expression or a schema can expand to millions of
/// states, and untrusted input must not occupy a core for minutes: the code that creates nodes and states spends from
/// this budget.
final class CompilationEffort: Sendable {
    /// Takes a few seconds.
    static let most = 20_000_000

    @TaskLocal private static var current: CompilationEffort?
    private let left = Atomic(most)

    /// Compiles one grammar.
    static func limit<Compiled>(
        _ compile: () throws(GrammarError) -> Compiled
    ) throws(GrammarError) -> Compiled {
        let result = $current.withValue(CompilationEffort()) { () -> Result<Compiled, GrammarError> in
            do throws(GrammarError) { return .success(try compile()) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// - Parameter work: number of nodes or states created or visited.
    /// - Throws: if the budget of the current compilation is exhausted.
    static func spend(_ work: Int) throws(ByteAutomaton.StateLimit) {
        guard let current else { return }
        guard current.left.subtract(work, ordering: .relaxed).newValue >= 0 else { throw ByteAutomaton.StateLimit() }
    }
}
