// asio.cpp: the echo of servers.h on Boost.Asio, with C++20 coroutines. Over epoll; over io_uring if built with
// -DBOOST_ASIO_HAS_IO_URING -DBOOST_ASIO_DISABLE_EPOLL (Boost 1.78 or later).
#include <boost/asio.hpp>
#include <cstdlib>
#include <cstring>

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr int backlog = 4096;
constexpr auto result = asio::as_tuple(asio::use_awaitable);

static asio::awaitable<void> serve(tcp::socket socket)
{
    char buffer[4096];
    for (;;) { // ends with the connection
        auto [failed, n] = co_await socket.async_read_some(asio::buffer(buffer), result);
        if (failed) {
            co_return;
        }
        auto [broken, sent] = co_await asio::async_write(socket, asio::buffer(buffer, n), result);
        if (broken) {
            co_return;
        }
    }
}

static asio::awaitable<void> accept_all(tcp::acceptor acceptor)
{
    for (;;) { // until killed
        auto [failed, socket] = co_await acceptor.async_accept(result);
        if (!failed) {
            boost::system::error_code ignored;
            socket.set_option(tcp::no_delay(true), ignored);
            asio::co_spawn(acceptor.get_executor(), serve(std::move(socket)), asio::detached);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || std::strcmp(argv[1], "echo") != 0) {
        return 2;
    }
    asio::io_context context(1);
    auto port = static_cast<unsigned short>(std::atoi(argv[2]));
    tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), port));
    acceptor.listen(backlog);
    asio::co_spawn(context, accept_all(std::move(acceptor)), asio::detached);
    context.run();
}
