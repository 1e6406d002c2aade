import Foundation
import Testing

/// A pseudo-terminal for interactive tests.
final class Terminal {
    /// The side that the test reads; programs write to the other.
    private let master: Int32
    let screen: Int32
    private(set) var text = ""
    private var bytes: [UInt8] = []

    /// Swift does not import what POSIX has for this from Glibc.
    init(columns: UInt16 = 80) throws {
        #if os(Linux)
            master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
            var (isLocked, number): (Int32, Int32) = (0, 0)
            try #require(ioctl(master, 0x4004_5431, &isLocked) == 0)  // TIOCSPTLCK
            try #require(ioctl(master, 0x8004_5430, &number) == 0)  // TIOCGPTN
            screen = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        #else
            master = posix_openpt(O_RDWR | O_NOCTTY)
            try #require(grantpt(master) == 0 && unlockpt(master) == 0)
            screen = open(String(cString: ptsname(master)), O_RDWR | O_NOCTTY)
        #endif
        try #require(master >= 0 && screen >= 0)
        var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try #require(ioctl(screen, UInt(TIOCSWINSZ), &size) == 0)
    }

    deinit {
        close(master)
        close(screen)
    }

    /// Presses keys.
    func type(_ keys: String) {
        let bytes = Array(keys.utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { write(master, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            written += count
        }
    }

    /// Reads until a text has come since the last call. Beside all other tests a program may take minutes to start.
    ///
    /// - Returns: the output since then.
    @discardableResult
    func wait(for expected: String, seconds: Double = 600) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < deadline {
            read(milliseconds: 0)
            if let end = text.range(of: expected) {
                defer { text = String(text[end.upperBound...]) }
                return String(text[..<end.upperBound])
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("“\(expected)” has not come in \(seconds) s, but \(text.debugDescription)")
        throw CancellationError()
    }

    /// Reads the available output, which stays readable until after the last writer has closed.
    func readAll() -> String {
        read(milliseconds: 100)
        return text
    }

    private func read(milliseconds: Int32) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var state = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
        while poll(&state, 1, milliseconds) > 0 {
            let count = Foundation.read(master, &buffer, buffer.count)
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        // A character may have come in part.
        let whole = bytes.lastIndex { $0 < 0x80 }.map { $0 + 1 } ?? 0
        text += String(decoding: bytes[..<whole], as: UTF8.self)
        bytes.removeFirst(whole)
    }
}
