import ArgumentParser
import Gemma4Kit
import Media

/// Processes several files, some of them concurrently. Reports files that fail and continues with the others.
enum FileAnswers {
    /// - Parameters:
    ///   - parallel: number of files processed concurrently. Output appears in the order of the files.
    ///   - sharesOutput: whether they write to one output, so that a write error is fatal.
    ///   - work: writes to sinks in the turn that it is given.
    /// - Returns: the number of failures, and the exit status of the first.
    /// - Throws: `CommandError` at once if a shared output cannot be written; errors that are not specific to a file.
    static func each(
        _ files: [String], parallel: Int, sharesOutput: Bool,
        _ work: @escaping @Sendable (_ index: Int, _ progress: ProgressLine, _ turn: Turn) async throws -> Void
    ) async throws -> (failed: Int, status: ExitStatus?) {
        let turns = files.map { _ in Turn() }
        var (failed, failure) = (0, ExitStatus?.none)
        try await withThrowingTaskGroup(of: (Int, (any Error)?).self) { group in
            func add(_ index: Int) {
                let turn = turns[index]
                let progress = ProgressLine(files[index], index, of: files.count, turn)
                group.addTask {
                    do {
                        try await work(index, progress, turn)
                        return (index, nil)
                    } catch {
                        return (index, error)
                    }
                }
            }
            for index in files.indices.prefix(max(1, parallel)) { add(index) }
            var ended: [Int: (any Error)?] = [:]
            var current = 0
            try turns.first?.begin()
            while let (index, error) = try await group.next() {
                if index + max(1, parallel) < files.count { add(index + max(1, parallel)) }
                if sharesOutput, let error = error as? CommandError, error.isAboutOutput { throw error }
                ended[index] = .some(error)
                while let error = ended.removeValue(forKey: current) {
                    if let error {
                        guard let status = ExitStatus(error) else { throw error }
                        let namesItsFile = error is MediaError || error is CommandError
                        ByteSink.standardError.report(
                            namesItsFile ? "\(error)" : "\(files[current].displayed): \(error)")
                        failed += 1
                        failure = failure ?? status
                    }
                    current += 1
                    if current < files.count { try turns[current].begin() }
                }
            }
        }
        return (failed, failure)
    }

    /// Standard input can be read only once.
    static func validate(_ files: [String]) throws {
        if files.count(where: { $0 == StandardInput.argument }) > 1 {
            throw ValidationError("standard input (-) can be read only once")
        }
    }
}

/// Number of answers generated concurrently.
struct ParallelOption: ParsableArguments {
    /// The weights are read from memory once per step for all answers; beyond about eight, compute is the limit.
    private static let auto = 8

    @Option(help: ArgumentHelp("Pieces and files at once.", valueName: "auto|n"))
    var parallel = "auto"

    func validate() throws {
        guard parallel == "auto" || Int(parallel).map({ (1...64).contains($0) }) == true else {
            throw ValidationError("--parallel: expected auto or 1 to 64, found \(parallel)")
        }
    }

    var count: Int { Int(parallel) ?? Self.auto }
}
