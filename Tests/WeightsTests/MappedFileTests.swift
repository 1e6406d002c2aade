import Foundation
import TestSupport
import Testing

@testable import Weights

struct MappedFileTests {
    @Test func mapsTheWholeFile() throws {
        let directory = try TemporaryDirectory()
        let content = (0..<10_000).map { UInt8(truncatingIfNeeded: $0) }
        let file = try MappedFile(directory.write(content, to: "a"))
        file.advise(.random, 5_000..<6_000)
        file.advise(.sequential)
        file.advise(.soon, 9_999..<20_000)
        #expect(file.byteCount == 10_000)
        #expect(Array(file.bytes) == content)
    }

    /// The mapping stands on its own: neither the descriptor nor the name is needed any more.
    @Test func staysMappedWhenTheNameIsGone() throws {
        let directory = try TemporaryDirectory()
        let file = try MappedFile(directory.write([1, 2, 3], to: "a"))
        try FileManager.default.removeItem(atPath: file.path)
        #expect(Array(file.bytes) == [1, 2, 3])
    }

    @Test func refusesWhatIsNoFile() throws {
        let directory = try TemporaryDirectory()
        let missing = "\(directory.path)/none"
        #expect(
            message { try MappedFile(missing) }
                == "\(missing): cannot be opened (No such file or directory). Check the path and the download.")
        #expect(
            message { try MappedFile(directory.path) } == "\(directory.path): expected a plain file, found a directory."
        )
        #expect(message { try MappedFile("/dev/null") } == "/dev/null: expected a plain file, found a pipe or device.")
        let empty = try directory.write([], to: "empty")
        #expect(message { try MappedFile(empty) } == "\(empty): the file is empty. Download it again.")
    }

    /// Root may read everything, so this holds for other users only.
    @Test(.enabled(if: geteuid() != 0))
    func refusesWhatMayNotBeRead() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write([1], to: "a")
        try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: path)
        #expect(
            message { try MappedFile(path) }
                == "\(path): cannot be opened (Permission denied). Give this user the right to read it.")
    }
}

/// The message of the `CheckpointError` that `body` throws.
func message(_ body: () throws -> some Any) -> String {
    do {
        _ = try body()
        return "no error"
    } catch {
        return (error as? CheckpointError).map(String.init(describing:)) ?? "another error: \(error)"
    }
}
