//! The public names of tokio 1.54's net and io::unix, by type or module. Methods are the inherent
//! ones on Unix; traits implemented are not listed, nor what needs an unstable switch.

pub(crate) const NAMES: &[(&str, &str)] = &[
    ("net", "lookup_host ToSocketAddrs"),
    ("net::TcpListener", "accept bind from_std into_std local_addr poll_accept set_ttl ttl"),
    (
        "net::TcpSocket",
        "bind bind_device connect device from_std_stream keepalive linger listen local_addr new_v4 \
         new_v6 nodelay recv_buffer_size reuseaddr reuseport send_buffer_size set_keepalive \
         set_linger set_nodelay set_recv_buffer_size set_reuseaddr set_reuseport \
         set_send_buffer_size set_tclass_v6 set_tos_v4 set_zero_linger take_error tclass_v6 tos_v4",
    ),
    (
        "net::TcpStream",
        "async_io connect from_std into_split into_std linger local_addr nodelay peek peer_addr \
         poll_peek poll_read_ready poll_write_ready quickack readable ready set_linger set_nodelay \
         set_quickack set_ttl set_zero_linger split take_error try_io try_read try_read_buf \
         try_read_vectored try_write try_write_vectored ttl writable",
    ),
    (
        "net::UdpSocket",
        "async_io bind bind_device broadcast connect device from_std into_std join_multicast_v4 \
         join_multicast_v6 leave_multicast_v4 leave_multicast_v6 local_addr multicast_loop_v4 \
         multicast_loop_v6 multicast_ttl_v4 peek peek_from peek_sender peer_addr poll_peek \
         poll_peek_from poll_peek_sender poll_recv poll_recv_from poll_recv_ready poll_send \
         poll_send_ready poll_send_to readable ready recv recv_buf recv_buf_from recv_from send \
         send_to set_broadcast set_multicast_loop_v4 set_multicast_loop_v6 set_multicast_ttl_v4 \
         set_tclass_v6 set_tos_v4 set_ttl take_error tclass_v6 tos_v4 try_io try_peek \
         try_peek_from try_peek_sender try_recv try_recv_buf try_recv_buf_from try_recv_from \
         try_send try_send_to ttl writable",
    ),
    (
        "net::UnixListener",
        "accept bind bind_addr from_std into_std local_addr poll_accept take_error",
    ),
    ("net::UnixSocket", "bind connect datagram listen new_datagram new_stream"),
    (
        "net::UnixStream",
        "async_io connect connect_addr from_std into_split into_std local_addr pair peer_addr \
         peer_cred poll_read_ready poll_write_ready readable ready split take_error try_io \
         try_read try_read_buf try_read_vectored try_write try_write_vectored writable",
    ),
    (
        "net::UnixDatagram",
        "async_io bind connect from_std into_std local_addr pair peer_addr poll_recv \
         poll_recv_from poll_recv_ready poll_send poll_send_ready poll_send_to readable ready recv \
         recv_buf recv_buf_from recv_from send send_to shutdown take_error try_io try_recv \
         try_recv_buf try_recv_buf_from try_recv_from try_send try_send_to unbound writable",
    ),
    (
        "net::tcp::OwnedReadHalf",
        "local_addr peek peer_addr poll_peek readable ready reunite try_read try_read_buf \
         try_read_vectored",
    ),
    (
        "net::tcp::OwnedWriteHalf",
        "forget local_addr peer_addr ready reunite try_write try_write_vectored writable",
    ),
    (
        "net::tcp::ReadHalf",
        "local_addr peek peer_addr poll_peek readable ready try_read try_read_buf \
         try_read_vectored",
    ),
    ("net::tcp::WriteHalf", "local_addr peer_addr ready try_write try_write_vectored writable"),
    ("net::tcp", "ReuniteError"),
    (
        "net::unix::OwnedReadHalf",
        "local_addr peer_addr readable ready reunite try_read try_read_buf try_read_vectored",
    ),
    (
        "net::unix::OwnedWriteHalf",
        "forget local_addr peer_addr ready reunite try_write try_write_vectored writable",
    ),
    (
        "net::unix::ReadHalf",
        "local_addr peer_addr readable ready try_read try_read_buf try_read_vectored",
    ),
    ("net::unix::WriteHalf", "local_addr peer_addr ready try_write try_write_vectored writable"),
    ("net::unix::SocketAddr", "as_abstract_name as_pathname is_unnamed"),
    ("net::unix::UCred", "gid pid uid"),
    ("net::unix", "ReuniteError gid_t pid_t uid_t"),
    ("net::unix::pipe", "pipe"),
    ("net::unix::pipe::OpenOptions", "new open_receiver open_sender read_write unchecked"),
    (
        "net::unix::pipe::Receiver",
        "from_file from_file_unchecked from_owned_fd from_owned_fd_unchecked into_blocking_fd \
         into_nonblocking_fd poll_read_ready readable ready try_io try_read try_read_buf \
         try_read_vectored",
    ),
    (
        "net::unix::pipe::Sender",
        "from_file from_file_unchecked from_owned_fd from_owned_fd_unchecked into_blocking_fd \
         into_nonblocking_fd poll_write_ready ready try_io try_write try_write_vectored writable",
    ),
    (
        "io::unix::AsyncFd",
        "async_io async_io_mut get_mut get_ref into_inner new poll_read_ready \
         poll_read_ready_mut poll_write_ready poll_write_ready_mut readable readable_mut ready \
         ready_mut register register_with_interest try_io try_io_mut try_new try_with_interest \
         with_interest writable writable_mut",
    ),
    (
        "io::unix::AsyncFdReadyGuard",
        "clear_ready clear_ready_matching get_inner get_ref ready retain_ready try_io",
    ),
    (
        "io::unix::AsyncFdReadyMutGuard",
        "clear_ready clear_ready_matching get_inner get_inner_mut get_mut get_ref ready \
         retain_ready try_io",
    ),
    ("io::unix::AsyncFdRegisterError", "into_parts"),
    ("io::unix", "TryIoError"),
];
