import ArgumentParser
import Gemma4Kit

/// Work on each of several files in turn. One that fails is reported, and the others are done all the same.
enum FileAnswers {
    /// - Throws: `ExitCode` of the first failure, after the last file; `CommandError` at once if results cannot be
    ///   written.
    static func each(_ files: [String], _ work: (_ index: Int, _ progress: ProgressLine) async throws -> Void)
        async throws
    {
        var failure: ExitStatus?
        for (index, file) in files.enumerated() {
            do {
                try await work(index, ProgressLine(file, index, of: files.count))
            } catch let error as CommandError where error.isAboutOutput {
                throw error
            } catch {
                guard let status = ExitStatus(error) else { throw error }
                let namesItsFile = error is MediaError || error is CommandError
                ByteSink.standardError.report(namesItsFile ? "\(error)" : "\(file): \(error)")
                failure = failure ?? status
            }
        }
        if let failure { throw ExitCode(failure.rawValue) }
    }

    /// Standard input can be read once.
    static func validate(_ files: [String]) throws {
        if files.count(where: { $0 == StandardInput.argument }) > 1 {
            throw ValidationError("standard input (-) can be read only once")
        }
    }
}
