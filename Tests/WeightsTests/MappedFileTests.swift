import Foundation
import TestSupport
import Testing

@testable import Tensors
@testable import Weights

struct MappedFileTests {
    /// Of a 14 GB file with copies of the same size in 23 GB of memory, less than 7 GB stay in the page cache; of a
    /// smaller file, all.
    @Test func whatDoesNotFitBesideItsCopiesLeavesTheCache() {
        let gigabyte = 1 << 30
        #expect(MappedFile.cachedByteCount(of: 14 * gigabyte, available: 23 * gigabyte) == 27 * gigabyte / 4)
        #expect(MappedFile.cachedByteCount(of: 3 * gigabyte, available: 23 * gigabyte) > 3 * gigabyte)
        #expect(MappedFile.cachedByteCount(of: 50 * gigabyte, available: 23 * gigabyte) == 0)
        #expect(MappedFile.cachedByteCount(of: 50 * gigabyte, available: .max) > 50 * gigabyte)
    }

    @Test func mapsTheWholeFile() throws {
        let directory = try TemporaryDirectory()
        let content = (0..<10_000).map { UInt8(truncatingIfNeeded: $0) }
        let file = try MappedFile(directory.write(content, to: "a"))
        file.advise(.random, 5_000..<6_000)
        file.advise(.done, 9_999..<20_000)
        file.advise(.random)
        #expect(file.byteCount == 10_000)
        #expect(Array(file.bytes) == content)
    }

    /// A small file is read, so that truncating it is an error instead of SIGBUS.
    @Test func aFileThatIsCutIsNoticed() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write([UInt8](repeating: 7, count: 10_000), to: "a")
        let file = try MappedFile(path)
        #expect(try file.contents() == [UInt8](repeating: 7, count: 10_000))
        #expect(truncate(path, 100) == 0)
        let error = #expect(throws: CheckpointError.self) { try file.contents() }
        #expect(
            error?.description
                == "\(path): expected 10000 bytes, found 100. The file was changed while it was read, or its disk fails. Try again."
        )
    }

    /// Rows of a table are read with `pread`, not through the mapping: with 2 MB pages a row would make a page
    /// resident.
    @Test(arguments: [ElementType.float32, .q8_0])
    func rowsAreReadWithoutTheirPages(type: ElementType) throws {
        let directory = try TemporaryDirectory()
        let (rows, columns) = (2048, 1024)
        let device = Device(threadCount: 1)
        let numbers = (0..<rows * columns).map { Float($0 % 251) - 125 }
        let bytes = BlockQuantizer.encode(numbers, as: type, on: device.threads)
        let file = try MappedFile(directory.write(bytes, to: "a"))
        let table = Tensor(mapped: file.bytes, owner: file, [rows, columns], type, on: device)
        let stored = Tensor(mapped: file.bytes, owner: Copy(bytes), [rows, columns], type, on: device).toArray()
        file.advise(.done)
        let chosen = [2047, 0, 1000, 1000, 3]
        let found = table.gathered(chosen).toArray()
        #expect(found == chosen.flatMap { stored[$0 * columns..<($0 + 1) * columns] })
        #expect(
            table.gathered(chosen, columns: 70..<170).toArray()
                == chosen.flatMap { stored[$0 * columns + 70..<$0 * columns + 170] })
        #if os(Linux)
            #expect(try residentKilobytes(of: file.path) == 0)
        #endif
        #expect(file.bytes[0] == bytes[0])
    }

    /// Bytes that are not backed by a file, and are accessed in memory.
    private final class Copy: Sendable {
        let bytes: [UInt8]
        init(_ bytes: [UInt8]) { self.bytes = bytes }
    }

    private func residentKilobytes(of path: String) throws -> Int {
        // The system gives it a page at a time.
        let handle = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
        var text = Data()
        while let part = try handle.read(upToCount: 1 << 16), !part.isEmpty { text += part }
        let maps = String(decoding: text, as: UTF8.self).split(separator: "\n")
        let name = path.split(separator: "/").suffix(2).joined(separator: "/")
        let start = try #require(maps.firstIndex { $0.hasSuffix(name) })
        let line = try #require(maps[start...].first { $0.hasPrefix("Rss:") })
        return try #require(Int(line.split(whereSeparator: \.isWhitespace)[1]))
    }

    /// The mapping outlives the file's name.
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

    /// Root can read any file, so this test applies to other users only.
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
