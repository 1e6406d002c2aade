import Synchronization

/// The work that compiling one grammar may take. A line of a regular expression or a schema can stand for millions of states,
/// and a stranger's must not keep a core busy for minutes: whoever makes nodes and states pays for them here.
final class CompilationEffort: Sendable {
    /// A few seconds of work.
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

    /// - Parameter work: nodes or states that are made or visited.
    /// - Throws: if the grammar that is being compiled has caused too much of it.
    static func spend(_ work: Int) throws(ByteAutomaton.StateLimit) {
        guard let current else { return }
        guard current.left.subtract(work, ordering: .relaxed).newValue >= 0 else { throw ByteAutomaton.StateLimit() }
    }
}
